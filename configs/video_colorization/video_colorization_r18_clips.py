# Video Colorization on a folder of unlabelled videos, with a schedule for one small machine:
# 8 clips of 4 random crops of 192x192 in bfloat16, a trunk without the last stage, fewer channels
# in the 3D part; tests that network on DAVIS-2016. Give your own folders with
#   --cfg-options train_dataloader.dataset.source.roots="['my/videos']"
_base_ = ['../_base_/datasets/davis2016.py', '../_base_/default_runtime.py']

model = dict(
    type='VideoColorization',
    backbone=dict(
        type='mmseg.ResNet',
        depth=18,
        in_channels=1,
        num_stages=3,
        strides=(1, 2, 1),
        dilations=(1, 1, 1),
        out_indices=(2,)),
    stride=8,
    in_channels=256,
    channels=96,
    embed_channels=64,
    matching_head=dict(type='GlobalMatching'),
    memory=dict(type='FrameBank', recent=3, annotated=False),
    reconstruction_head=dict(type='GlobalMatching'),
    loss=dict(type='ColorClassLoss'),
    geometry=dict(divisor=8, short_side=256))

train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='ClipDataset',
        length=4,
        gaps=(4,),
        gap_probs=(1.,),
        source=dict(type='VideoFolder', roots=['data/clips'], cache_dir='work_dirs/cache'),
        pipeline=[
            dict(type='RandomCropClip', size=(192, 192)),
            dict(type='RandomFlipClip'),
            dict(type='PackClip'),
        ]))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1500, val_interval=10**9)
optim_wrapper = dict(type='BF16OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = dict(type='MultiStepLR', milestones=(1200,), gamma=0.1, by_epoch=False)
