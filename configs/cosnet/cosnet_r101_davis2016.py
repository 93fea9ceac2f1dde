# COSNet on DAVIS-2016 without masks: the released network with the paper's best co-attention, and
# its training. Batches of 16 pairs from DAVIS-2016 at 473x473, every third batch static images;
# SGD with a polynomial schedule of 60 epochs of 130 pair batches each.
_base_ = ['../_base_/datasets/davis2016_unsupervised.py', '../_base_/default_runtime.py']

model = dict(
    type='COSNet',
    features=dict(
        type='DeepLabFeatures',
        backbone=dict(
            type='mmseg.ResNet', depth=101, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4),
            out_indices=(3,), style='caffe'),
        in_channels=2048,
        channels=512,
        out_channels=256),
    co_attention=dict(type='SymmetricCoAttention', channels=256),
    references=5,
    sampling='uniform',
    loss=dict(type='LossSum', losses=[
        dict(type='BalancedBCE'), dict(type='L1Loss')], weights=[1., 0.8]),
    static_loss=dict(type='LossSum', losses=[
        dict(type='BalancedBCE'), dict(type='L1Loss')], weights=[0.1, 0.08]),
    geometry=dict(size=(473, 473)))

train_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='MaskedClipDataset',
        source=dict(type='DAVIS', data_root='data/DAVIS', year='2016', split='train'),
        length=2,
        max_skip=1000,  # any other frame of the video
        clips_per_video=69,  # 2,079 frames of 30 videos
        pipeline=[
            dict(type='PerFrame', transforms=[
                dict(type='RandomAffine', prob=1., rotate=0, shear=0, translate=0.05,
                     scale=(0.7, 1.3)),
                dict(type='RandomFlipClip'),
                dict(type='ResizeClip', size=(473, 473))]),
            dict(type='PackClip'),
        ]))
train_cfg = dict(
    type='AlternatingLoop', max_iters=11700, every=3, val_interval=10**9,
    slow=dict(features=0.01),
    static_dataloader=dict(
        batch_size=16,
        num_workers=8,
        persistent_workers=True,
        sampler=dict(type='ClipSampler'),
        dataset=dict(
            type='StillClipDataset',
            source=dict(type='StillImages', data_root='data/MSRA10K', threshold=128),
            length=1,
            pipeline=[
                dict(type='RandomAffine', prob=1., rotate=0, shear=0, translate=0.05,
                     scale=(0.7, 1.3)),
                dict(type='RandomFlipClip'),
                dict(type='ResizeClip', size=(473, 473)),
                dict(type='PackClip'),
            ])))
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=2.5e-4, momentum=0.9, weight_decay=5e-4),
    paramwise_cfg=dict(custom_keys=dict(
        heads=dict(lr_mult=10), co_attention=dict(lr_mult=10))))
param_scheduler = dict(type='PolyLR', power=0.9, by_epoch=False, end=11700)
