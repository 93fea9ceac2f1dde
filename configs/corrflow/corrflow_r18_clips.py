# CorrFlow on a folder of unlabelled videos, with a schedule for one small machine: 4 clips of
# 3 random crops of 192x192 in bfloat16. Give your own folders with
#   --cfg-options train_dataloader.dataset.source.roots="['my/videos']"
_base_ = ['../_base_/default_runtime.py']

model = dict(
    type='CorrFlow',
    backbone=dict(type='VOSResNet18'),
    # temperature=1. in both heads is the released form: products are not divided by sqrt(64)
    matching_head=dict(type='LocalMatching', radius=6, out_of_range='mask'),
    memory=dict(type='FrameBank', recent=1, annotated=False),
    reconstruction_head=dict(type='LocalMatching', radius=6, out_of_range='mask'),
    loss=dict(type='ColorClassLoss'),
    true_colors=(0.9, 0.6),
    cycle_weight=0.1,
    geometry=dict(divisor=8))

train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='ClipDataset',
        length=3,
        gaps=(4,),
        gap_probs=(1.,),
        source=dict(type='VideoFolder', roots=['data/clips'], cache_dir='work_dirs/cache'),
        pipeline=[
            dict(type='RandomCropClip', size=(192, 192)),
            dict(type='RandomFlipClip'),
            dict(type='PerFrame', transforms=[
                dict(type='ColorJitter', brightness=.1, contrast=.1, saturation=.1, hue=.1,
                     prob=.1)]),
            dict(type='PackClip'),
        ]))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1500, val_interval=10**9)
# A short schedule has a larger rate than the released 2e-4, and is halved later
optim_wrapper = dict(type='BF16OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = dict(
    type='SampleMultiStepLR', milestones=(4000, 5000, 5500), samples_per_step=4)
