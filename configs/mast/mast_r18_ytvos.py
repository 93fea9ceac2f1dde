# The released code's recipe: pairs from YouTube-VOS 2018 train_all_frames, stretched to 256x256,
# batch 12, 20 epochs (119,305 iterations), Adam 1e-3 halved by samples seen
_base_ = ['../_base_/default_runtime.py']

model = dict(
    type='MAST',
    backbone=dict(type='VOSResNet18'),
    matching_head=dict(type='MovedWindowMatching', radius=12),
    memory=dict(type='FrameBank', anchors=(0, 5), recent=3, gap=2),
    reconstruction_head=dict(type='LocalMatching', radius=6),
    loss=dict(type='ColorReconstructionLoss', scale=20.))

# https://youtube-vos.org: data_root holds train_all_frames/JPEGImages
train_dataloader = dict(
    batch_size=12,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='ClipDataset',
        gaps=(2, 5, 8),
        gap_probs=(.4, .4, .2),
        source=dict(
            type='VideoFolder',
            roots=['data/YouTubeVOS/train_all_frames/JPEGImages'],
            size=(256, 256),
            cache_dir='work_dirs/cache_ytvos'),
        pipeline=[dict(type='PackClip')]))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=119305, val_interval=10**9)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = dict(
    type='SampleMultiStepLR', milestones=(400000, 600000, 800000, 1000000), samples_per_step=12)
