# First stage of training: clips of six from still images (COCO, MSRA10K, PASCAL VOC, ECSSD and
# PASCAL-S, 146,000 in all), 12 epochs, the rate halved after every third
_base_ = ['../munet_r50_faithful_davis2016.py']

# data/still holds images/ and masks/ of all these sets
train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='StillClipDataset',
        source=dict(type='StillImages', data_root='data/still', threshold=128),
        length=6,
        pipeline=[
            dict(type='CropAroundObject', size=(400, 400), scale=(0.9, 1.1), jitter=40),
            dict(type='RandomFlipClip', prob=0.3),
            dict(type='PerFrame', transforms=[
                dict(type='RandomAffine', prob=1., rotate=20, shear=10, translate=0.1,
                     scale=(0.9, 1.1)),
                dict(type='ColorJitter')]),
            dict(type='ChooseObjects', most=3),
            dict(type='PackClip'),
        ]))
train_cfg = dict(
    type='EffectiveBatchLoop', max_iters=1752000, effective_batch=1, val_interval=10**9)
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=2e-5, weight_decay=0.5))
param_scheduler = dict(type='StepLR', step_size=438000, gamma=0.5, by_epoch=False)
