# More of mamp_r18_clips.py, from its last weights: 2.5 times as many updates, on half as many pairs
# each, windows of 0.55 to 1.1 times their size, a rate that starts again with a warm-up. Give your
# own folders with
#   --cfg-options train_dataloader.dataset.source.roots="['my/videos']"
_base_ = ['../_base_/default_runtime.py']

model = dict(
    type='MAMP',
    backbone=dict(type='VOSResNet18'),
    matching_head=dict(type='LocalMatching', radius=12, topk=36),
    memory=dict(type='FrameBank', anchors=(0, 5), recent=3, gap=2),
    motion_estimator=dict(type='DISFlow'),
    reconstruction_head=dict(type='LocalMatching', radius=6),
    loss=dict(type='ColorReconstructionLoss', scale=20.),
    geometry=dict(divisor=8, value=0.467))

train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='ClipDataset',
        source=dict(type='VideoFolder', roots=['data/clips'], cache_dir='work_dirs/cache'),
        pipeline=[
            dict(type='CropAroundObject', size=(192, 192), scale=(0.55, 1.1)),
            dict(type='RandomFlipClip'),
            dict(type='PackClip'),
        ]))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2750, val_interval=10**9)
optim_wrapper = dict(type='BF16OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, end=100),
    dict(type='MultiStepLR', milestones=[1500, 2100, 2500], gamma=0.4, by_epoch=False)]

load_from = 'work_dirs/mamp_r18_clips/iter_1100.pth'
