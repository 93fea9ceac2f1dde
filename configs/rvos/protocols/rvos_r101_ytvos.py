# Zero-shot, 50 epochs of YouTube-VOS 2018 (3,471 updates each)
_base_ = ['../rvos_r101_davis2017.py']

model = dict(geometry=dict(size=(256, 448)))
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='MaskedClipDataset',
        source=dict(type='YouTubeVOS', data_root='data/YouTubeVOS', split='train'),
        length=5,
        max_skip=1,
        clips_per_video=5,
        reverse=0.,
        pipeline=[
            dict(type='ResizeClip', size=(256, 448)),
            dict(type='RandomFlipClip'),
            dict(
                type='RandomAffine', prob=1., rotate=10., translate=0.1, shear=5.7,
                scale=(0.7, 1.4)),
            dict(type='ChooseObjects', most=10, area=1),
            dict(type='PackClip'),
        ]))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=173550, val_interval=10**9)
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3, weight_decay=1e-6),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1e-3))))
