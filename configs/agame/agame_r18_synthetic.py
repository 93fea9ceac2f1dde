# A-GAME with a small ResNet-18 on SyntheticVOS: nothing to download
# The backbone is trained whole: there are no ImageNet weights to keep.
_base_ = ['../_base_/datasets/synthetic.py', '../_base_/default_runtime.py']

model = dict(
    type='AGAME',
    backbone=dict(
        type='mmseg.ResNet', depth=18, base_channels=32, stem_channels=32, num_stages=3,
        strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(0, 1, 2)),
    appearance=dict(type='GaussianAppearance', in_channels=128, channels=128, rate=0.1),
    in_channels=(32, 64, 128),
    propagation_channels=112,
    fusion_channels=(128, 64),
    loss=dict(type='CrossEntropy'),
    geometry=dict(divisor=16, sides='both', mode='reflect'))

train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='MaskedClipDataset',
        source=dict(type='SyntheticVOS', num_videos=100, size=(120, 216), seed=1),
        length=4,
        pipeline=[
            dict(type='RandomCropClip', size=(112, 208)),
            dict(type='RandomFlipClip'),
            dict(type='ChooseObjects', most=1),
            dict(type='PackClip'),
        ]))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2000, val_interval=10**9)
optim_wrapper = dict(type='BF16OptimWrapper', optimizer=dict(type='Adam', lr=2e-4))
