# Training with masks on DAVIS-2016's training split, for one small machine: windows of 480p
# frames, reduced to two thirds on average
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='MaskedClipDataset',
        source=dict(type='DAVIS', data_root='data/DAVIS', year='2016', split='train'),
        max_skip=15,
        skip_every=1,
        clips_per_video=20,
        pipeline=[
            dict(type='CropAroundObject', size=(208, 368), scale=(0.9, 2.), jitter=60),
            dict(type='RandomFlipClip'),
            dict(type='PerFrame', transforms=[
                dict(type='RandomAffine', prob=0.5, rotate=10, shear=5, scale=(0.9, 1.1))]),
            dict(type='ColorJitter', brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1),
            dict(type='RandomGray', prob=0.05),
            dict(type='ChooseObjects'),
            dict(type='PackClip'),
        ]))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4500, val_interval=10**9)
optim_wrapper = dict(
    type='BF16OptimWrapper', optimizer=dict(type='AdamW', lr=4e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=10))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=200),
    dict(type='CosineAnnealingLR', eta_min=4e-6, by_epoch=False, begin=200, end=4500)]
