# Way 3, the scope: each `mmvos_example.X` makes mmvos import mmvos_example by itself.
# SyntheticVOS is rendered from a seed: nothing to download.
default_scope = 'mmvos'

model = dict(
    type='mmvos_example.ColorPropagation',
    backbone=dict(type='mmvos_example.SmallConvNet', channels=32),
    matching_head=dict(type='mmvos_example.CosineMatching', temperature=0.05),
    memory=dict(type='mmvos_example.DoublingBank', levels=3),
    loss=dict(type='mmvos_example.SoftCrossEntropy'),
    geometry=dict(divisor=4))

train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='ClipDataset',
        gaps=(2, 4),
        gap_probs=(.5, .5),
        source=dict(type='SyntheticVOS', num_videos=40, length=40, size=(120, 208), seed=1),
        pipeline=[
            dict(type='RandomCropClip', size=(96, 96)),
            dict(type='mmvos_example.BrightnessClip', amount=0.2),
            dict(type='PackClip'),
        ]))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=300, val_interval=10**9)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))

test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='SyntheticVOS', num_videos=5, length=20, size=(120, 208), seed=2))
test_evaluator = dict(type='VOSMetric', protocol='davis2017')
test_cfg = dict()

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=300, max_keep_ckpts=1),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    rng_state=dict(type='RNGStateHook'),
    frame_progress=dict(type='FrameProgressHook'))
log_processor = dict(by_epoch=False)
randomness = dict(seed=0)
