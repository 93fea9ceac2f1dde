# The second stage after mamp_r18_clips.py, whose training is that of pairs, too, with a schedule
# for one small machine. Give your own folders with
#   --cfg-options train_dataloader.dataset.source.roots="['my/videos']"
_base_ = ['../_base_/default_runtime.py']

model = dict(
    type='MomentumPropagation',
    backbone=dict(type='VOSResNet18'),
    matching_head=dict(type='LocalMatching', radius=12),
    memory=dict(type='FrameBank', anchors=(0, 5), recent=3, gap=2),
    reconstruction_head=dict(type='LocalMatching', radius=12),
    loss=dict(type='ColorReconstructionLoss', scale=20.),
    momentum=0.999)

train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='MemoryClipDataset',
        length=6,
        source=dict(type='VideoFolder', roots=['data/clips'], cache_dir='work_dirs/cache'),
        pipeline=[
            dict(type='RandomCropClip', size=(192, 192)),
            dict(type='RandomFlipClip'),
            dict(type='ColorJitter', prob=0.3),
            dict(type='PackClip'),
        ]))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=500, val_interval=10**9)
optim_wrapper = dict(type='BF16OptimWrapper', optimizer=dict(type='Adam', lr=1e-4))

load_from = 'work_dirs/mamp_r18_clips/iter_1100.pth'
