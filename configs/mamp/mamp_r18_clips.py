# MAMP on a folder of unlabelled videos, with a schedule for one small machine: 8 random crops of
# 192x192 in bfloat16. Give your own folders with
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
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='ClipDataset',
        source=dict(type='VideoFolder', roots=['data/clips'], cache_dir='work_dirs/cache'),
        pipeline=[
            dict(type='RandomCropClip', size=(192, 192)),
            dict(type='RandomFlipClip'),
            dict(type='PackClip'),
        ]))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1100, val_interval=10**9)
optim_wrapper = dict(type='BF16OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
# The paper halves the rate four times between 17 % and 42 % of its schedule; a short one later
param_scheduler = dict(
    type='SampleMultiStepLR', milestones=(6000, 7200, 8000), samples_per_step=8)
