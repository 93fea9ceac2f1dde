# A small COSNet from scratch on DAVIS-2016's training split, with rendered images as static ones.
# All parts learn from both phases at one rate: there are no ImageNet weights to keep.
_base_ = ['../_base_/datasets/davis2016_unsupervised.py', '../_base_/default_runtime.py']

model = dict(
    type='COSNet',
    features=dict(
        type='DeepLabFeatures',
        backbone=dict(
            type='mmseg.ResNet', depth=18, base_channels=24, stem_channels=24, num_stages=3,
            strides=(1, 2, 1), dilations=(1, 1, 2), out_indices=(2,)),
        in_channels=96,
        channels=64,
        out_channels=64),
    co_attention=dict(type='SymmetricCoAttention', channels=64),
    references=5,
    sampling='uniform',
    loss=dict(type='LossSum', losses=[
        dict(type='BalancedBCE'), dict(type='L1Loss')], weights=[1., 0.8]),
    static_loss=dict(type='LossSum', losses=[
        dict(type='BalancedBCE'), dict(type='L1Loss')], weights=[0.1, 0.08]),
    geometry=dict(size=(240, 416)))

train_dataloader = dict(
    batch_size=6,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='MaskedClipDataset',
        source=dict(type='DAVIS', data_root='data/DAVIS', year='2016', split='train'),
        length=2,
        max_skip=1000,  # any other frame of the video
        clips_per_video=20,
        pipeline=[
            dict(type='PerFrame', transforms=[
                dict(type='RandomAffine', prob=1., rotate=5, shear=0, translate=0.1,
                     scale=(0.7, 1.4)),
                dict(type='RandomFlipClip')]),
            dict(type='ColorJitter', brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1),
            dict(type='RandomGray', prob=0.05),
            dict(type='ResizeClip', size=(240, 416)),
            dict(type='PackClip'),
        ]))
train_cfg = dict(
    type='AlternatingLoop', max_iters=4000, every=3, val_interval=10**9,
    static_dataloader=dict(
        batch_size=12,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='ClipSampler'),
        dataset=dict(
            type='StillClipDataset',
            source=dict(type='SyntheticVOS', num_videos=300, size=(240, 416), seed=1),
            length=1,
            clips_per_video=2,
            pipeline=[
                dict(type='RandomFlipClip'),
                dict(type='ColorJitter', brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1),
                dict(type='PackClip'),
            ])))
optim_wrapper = dict(
    type='BF16OptimWrapper', optimizer=dict(type='AdamW', lr=4e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=10))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=200),
    dict(type='CosineAnnealingLR', eta_min=4e-6, by_epoch=False, begin=200, end=4000)]
