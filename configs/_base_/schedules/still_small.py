# The stage before davis2016_small.py: small clips from still images (the single frames of
# DAVIS-2016's training split) and from SyntheticVOS
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='ClipMixture',
        repeats=(1, 1),
        datasets=[
            dict(
                type='StillClipDataset',
                source=dict(type='DAVIS', data_root='data/DAVIS', year='2016', split='train'),
                clips_per_video=20,
                pipeline=[
                    dict(type='CropAroundObject', size=(128, 224), scale=(1.5, 3.5), jitter=80),
                    dict(type='RandomFlipClip'),
                    dict(type='PerFrame', transforms=[
                        dict(type='RandomAffine', prob=0.9, translate=0.1),
                        dict(type='RandomThinPlate', prob=0.3),
                        dict(type='ColorJitter')]),
                    dict(type='ColorJitter', brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1),
                    dict(type='RandomGray', prob=0.05),
                    dict(type='ChooseObjects', area=50),
                    dict(type='PackClip'),
                ]),
            dict(
                type='MaskedClipDataset',
                source=dict(type='SyntheticVOS', num_videos=300, size=(144, 256), seed=1),
                max_skip=5,
                clips_per_video=2,
                pipeline=[
                    dict(type='CropAroundObject', size=(128, 224), scale=(0.7, 1.1), jitter=40),
                    dict(type='RandomFlipClip'),
                    dict(type='ColorJitter', brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1),
                    dict(type='ChooseObjects', most=2, area=50),
                    dict(type='PackClip'),
                ]),
        ]))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2500, val_interval=10**9)
optim_wrapper = dict(
    type='BF16OptimWrapper', optimizer=dict(type='AdamW', lr=5e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=10))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=200),
    dict(type='CosineAnnealingLR', eta_min=5e-6, by_epoch=False, begin=200, end=2500)]
