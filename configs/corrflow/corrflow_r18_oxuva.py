# The released recipe: clips of 3 frames 4 apart from OxUvA, stretched to 256x256, batch 6,
# 10 epochs, Adam 2e-4 halved by samples seen. About 14 hours at 30 frames a second are some
# 126,000 clips, so 10 epochs some 210,000 iterations; `true_colors` falls over all of them.
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

# https://oxuva.github.io/long-term-tracking-benchmark: a folder or a file for each video
train_dataloader = dict(
    batch_size=6,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='ClipDataset',
        length=3,
        gaps=(4,),
        gap_probs=(1.,),
        source=dict(
            type='VideoFolder',
            roots=['data/OxUvA'],
            size=(256, 256),
            cache_dir='work_dirs/cache_oxuva'),
        pipeline=[
            dict(type='PerFrame', transforms=[
                dict(type='ColorJitter', brightness=.1, contrast=.1, saturation=.1, hue=.1,
                     prob=.1)]),
            dict(type='PackClip'),
        ]))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=210000, val_interval=10**9)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=2e-4))
param_scheduler = dict(
    type='SampleMultiStepLR', milestones=(400000, 600000, 800000, 1000000), samples_per_step=6)
