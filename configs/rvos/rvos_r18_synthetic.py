# Zero-shot RVOS with a small ResNet-18 on SyntheticVOS: nothing to download
# Two objects of a clip at most at first, one more after every 20 epochs (RSIS). The backbone is
# trained whole: there are no ImageNet weights to keep.
_base_ = ['../_base_/datasets/synthetic.py', '../_base_/default_runtime.py']

model = dict(
    type='RVOS',
    backbone=dict(
        type='mmseg.ResNet', depth=18, base_channels=16, stem_channels=16,
        out_indices=(0, 1, 2, 3)),
    in_channels=(16, 32, 64, 128),
    channels=(48, 24, 16, 8),
    recurrence=('spatial', 'temporal'),
    num_slots=5,
    match_candidates='first_n',
    geometry=dict(short_side=240))

test_evaluator = dict(protocol='davis2017-unsupervised')
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='MaskedClipDataset',
        source=dict(
            type='SyntheticVOS', num_videos=100, size=(120, 216), num_objects=(1, 5), seed=1),
        length=4,
        pipeline=[
            dict(type='RandomCropClip', size=(112, 208)),
            dict(type='RandomFlipClip'),
            dict(type='ChooseObjects', most=5, more_every=20),
            dict(type='PackClip'),
        ]))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2000, val_interval=10**9)
optim_wrapper = dict(type='BF16OptimWrapper', optimizer=dict(type='Adam', lr=2e-4))
