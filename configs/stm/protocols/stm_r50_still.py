# First stage of training: clips of three from still images, each frame with its own affine
# motion. The paper has encoders from ImageNet, batch 4, Adam 1e-5, and MSRA10K, ECSSD, PASCAL-S,
# VOC2012 and COCO; a public reproduction trains 200,000 updates.
_base_ = ['../stm_r50_davis2016.py']

# data/still holds images/ and masks/ of all these sets
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='StillClipDataset',
        source=dict(type='StillImages', data_root='data/still', threshold=128),
        pipeline=[
            dict(type='CropAroundObject', size=(384, 384), scale=(0.9, 1.25), jitter=20),
            dict(type='RandomFlipClip'),
            dict(type='PerFrame', transforms=[dict(type='RandomAffine', prob=0.5)]),
            dict(type='ChooseObjects', most=5),
            dict(type='PackClip'),
        ]))
train_cfg = dict(
    type='EffectiveBatchLoop', max_iters=200000, effective_batch=4, val_interval=10**9)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-5))
