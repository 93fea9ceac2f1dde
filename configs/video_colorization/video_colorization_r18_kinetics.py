# The paper's recipe: clips of 4 frames at about 6 frames a second from Kinetics, stretched to
# 256x256, batch 32, 400,000 iterations, Adam 1e-3, after 60,000 of them 1e-4.
_base_ = ['../_base_/default_runtime.py']

model = dict(
    type='VideoColorization',
    backbone=dict(
        type='mmseg.ResNet',
        depth=18,
        in_channels=1,
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 1, 1),
        out_indices=(3,)),
    stride=8,
    in_channels=512,
    channels=256,
    embed_channels=64,
    matching_head=dict(type='GlobalMatching'),
    memory=dict(type='FrameBank', recent=3, annotated=False),
    reconstruction_head=dict(type='GlobalMatching'),
    loss=dict(type='ColorClassLoss'),
    # of the size that it is trained at
    geometry=dict(divisor=8, short_side=256))

# 4 apart is 6 to 7.5 frames a second in most videos
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='ClipDataset',
        length=4,
        gaps=(4,),
        gap_probs=(1.,),
        source=dict(
            type='VideoFolder',
            roots=['data/Kinetics'],
            size=(256, 256),
            cache_dir='work_dirs/cache_kinetics'),
        pipeline=[
            dict(type='PackClip'),
        ]))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=400000, val_interval=10**9)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = dict(type='MultiStepLR', milestones=(60000,), gamma=0.1, by_epoch=False)
