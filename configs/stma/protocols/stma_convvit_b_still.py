# First stage of training: clips of three from still images, 150,000 updates of 16 clips; data/still
# holds images/ and masks/ of FSS-1000, DUTS, ECSSD, BIG and HRSOD
_base_ = ['../stma_convvit_b_davis2016.py']

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='StillClipDataset',
        source=dict(type='StillImages', data_root='data/still', threshold=128),
        pipeline=[
            dict(type='CropAroundObject', size=(384, 384), scale=(0.8, 1.5), jitter=20),
            dict(type='RandomFlipClip'),
            dict(type='ColorJitter', brightness=0.1, contrast=0.05, saturation=0.05, hue=0.05),
            dict(type='RandomGray', prob=0.05),
            dict(type='PerFrame', transforms=[
                dict(type='RandomAffine', prob=1., rotate=20, shear=10, scale=(0.9, 1.1)),
                dict(type='RandomThinPlate', prob=0.33),
                dict(type='ColorJitter', brightness=0.1, contrast=0.05, saturation=0.05, hue=0.)]),
            dict(type='ChooseObjects', most=1),
            dict(type='PackClip'),
        ]))
train_cfg = dict(
    type='EffectiveBatchLoop', max_iters=150000, effective_batch=16, val_interval=10**9)
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=3e-5, weight_decay=0.05))
