# The paper's recipe, whole: pairs from YouTube-VOS 2018 train_all_frames, stretched to 256x256,
# batch 24, 33 epochs (98,439 iterations of its 2,983), Adam 1e-3 halved by samples seen.
# Testing on YouTube-VOS works at half resolution with annotated and recent frames, four in all.
_base_ = ['../_base_/default_runtime.py']

model = dict(
    type='MAMP',
    backbone=dict(type='VOSResNet18'),
    matching_head=dict(type='LocalMatching', radius=12, topk=36),
    memory=dict(type='FrameBank', recent=4, gap=2, max_items=4),
    # The paper has RAFT with far_gap=5; DIS stands in for it here, it needs no weights:
    # dict(type='RAFT', variant='large', far_gap=5, checkpoint='raft-sintel.pth')
    motion_estimator=dict(type='DISFlow'),
    reconstruction_head=dict(type='LocalMatching', radius=6),
    loss=dict(type='ColorReconstructionLoss', scale=20.),
    late_objects='background',  # as released
    geometry=dict(divisor=16, value=0.467, decimate=2))

# https://youtube-vos.org: data_root holds train_all_frames/JPEGImages and valid/
train_dataloader = dict(
    batch_size=24,
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
train_cfg = dict(type='IterBasedTrainLoop', max_iters=98439, val_interval=10**9)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = dict(
    type='SampleMultiStepLR', milestones=(400000, 600000, 800000, 1000000), samples_per_step=24)

test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='YouTubeVOS', data_root='data/YouTubeVOS', split='valid'))
# its masks are not public: test with --out, pack the masks for the benchmark's server with
# tools/dataset_converters/youtube_vos_submission.py
test_evaluator = []
test_cfg = dict()
