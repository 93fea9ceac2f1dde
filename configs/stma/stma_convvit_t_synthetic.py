# STMA with a small ConvViT on SyntheticVOS: nothing to download
_base_ = ['../_base_/datasets/synthetic.py', '../_base_/default_runtime.py']

model = dict(
    type='STMA',
    backbone=dict(
        type='ConvViTSTML', channels=192, depth=5, heads=3, fine_channels=(32, 64)),
    value_encoder=dict(
        type='mmseg.ResNet', in_channels=5, depth=18, base_channels=32, stem_channels=32,
        num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,)),
    decoder=dict(
        type='RefineDecoder', skip_channels=(64, 32), value_channels=128, channels=64),
    matching_head=dict(type='GlobalMatching', topk=30, similarity='l2'),
    frames=dict(type='FrameBank', every=3, newest=1, recent=0),
    memory=dict(type='UsageBank', budget=8800, every=3),
    value_channels=128,
    key_channels=64,
    loss=dict(type='LossSum', weights=(0.5, 0.5), losses=[
        dict(type='CrossEntropy', top_p=0.4), dict(type='DiceLoss')]),
    geometry=dict(divisor=16, sides='both'))

train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='MaskedClipDataset',
        source=dict(type='SyntheticVOS', num_videos=100, size=(120, 216), seed=1),
        pipeline=[
            dict(type='RandomCropClip', size=(112, 208)),
            dict(type='RandomFlipClip'),
            dict(type='ChooseObjects', most=3),
            dict(type='PackClip'),
        ]))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2000, val_interval=10**9)
optim_wrapper = dict(
    type='BF16OptimWrapper', optimizer=dict(type='AdamW', lr=4e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=10))
param_scheduler = dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=200)
