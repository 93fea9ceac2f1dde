# First stage of zhu_r18_memory_ytvos.py: pairs from YouTube-VOS 2018, random crops of 384x384,
# batch 48, 120,000 iterations of Adam; the rate, which the paper does not give, is MAST's
_base_ = ['../_base_/default_runtime.py']

model = dict(
    type='LabelPropagation',
    backbone=dict(type='VOSResNet18'),
    matching_head=dict(type='LocalMatching', radius=12),
    memory=dict(type='FrameBank', anchors=(0, 5), recent=3, gap=2),
    reconstruction_head=dict(type='LocalMatching', radius=12),
    loss=dict(type='ColorReconstructionLoss', scale=20.))

train_dataloader = dict(
    batch_size=48,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='ClipDataset',
        length=2,
        source=dict(
            type='VideoFolder',
            roots=['data/YouTubeVOS/train_all_frames/JPEGImages'],
            short_side=480,
            cache_dir='work_dirs/cache_ytvos_480'),
        pipeline=[
            # without masks the window is anywhere in the frame
            dict(type='CropAroundObject', size=(384, 384), scale=(0.6, 1.2)),
            dict(type='ColorJitter', prob=0.3),
            dict(type='PackClip'),
        ]))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=120000, val_interval=10**9)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
