# The third stage after mamp_r18_distance_clips.py: windows of 0.9 to 1.9 times their size from
# frames with 480 lines, as large as they are at inference, and candidates as far away. Give your
# own folders with
#   --cfg-options train_dataloader.dataset.source.roots="['my/videos']"
_base_ = ['../_base_/default_runtime.py']

model = dict(
    type='TrackingMAMP',
    backbone=dict(type='VOSResNet18'),
    matching_head=dict(type='EuclideanMatching', radius=12, topk=36, temperature=16.),
    memory=dict(type='FrameBank', anchors=(0, 5), recent=3, gap=2),
    motion_estimator=dict(type='DISFlow'),
    reconstruction_head=dict(type='EuclideanMatching', radius=12, temperature=16.),
    loss=dict(type='ColorReconstructionLoss', scale=20.),
    upsample='kernel_centre',
    geometry=dict(divisor=8, value=0.467))

train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='ClipDataset',
        source=dict(type='VideoFolder', roots=['data/clips'], cache_dir='work_dirs/cache',
                    short_side=480),
        pipeline=[
            dict(type='CropAroundObject', size=(192, 192), scale=(0.9, 1.9)),
            dict(type='RandomFlipClip'),
            dict(type='PackClip'),
        ]))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1000, val_interval=10**9)
optim_wrapper = dict(type='BF16OptimWrapper', optimizer=dict(type='Adam', lr=5e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, end=60, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=60, T_max=940, eta_min=1e-5, by_epoch=False),
]

load_from = 'work_dirs/mamp_r18_distance_clips/iter_1000.pth'
