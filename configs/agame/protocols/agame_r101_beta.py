# Second stage: 100 epochs of 120 clips (twice the videos of DAVIS-2017), the rate multiplied by
# 0.985 after each, no loss of the coarse output. First train agame_r101_alpha.py.
_base_ = ['../agame_r101_davis2016.py']

model = dict(coarse_weight=0.)
load_from = 'work_dirs/agame_r101_alpha/iter_104000.pth'
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='ClipMixture',
        repeats=(58, 1),
        datasets=[
            dict(
                type='MaskedClipDataset',
                source=dict(type='DAVIS', data_root='data/DAVIS', year='2017', split='train'),
                length=14,
                max_skip=1,
                reverse=0.,
                pipeline=[
                    dict(type='ResizeClip', size=(480, 864)),
                    dict(type='RandomFlipClip'),
                    dict(type='ChooseObjects', most=1),
                    dict(type='PackClip'),
                ]),
            dict(
                type='MaskedClipDataset',
                source=dict(type='YouTubeVOS', data_root='data/YouTubeVOS', split='train'),
                length=14,
                max_skip=1,
                reverse=0.,
                pipeline=[
                    dict(type='ResizeClip', size=(480, 864)),
                    dict(type='RandomFlipClip'),
                    dict(type='ChooseObjects', most=1),
                    dict(type='PackClip'),
                ]),
        ]))
train_cfg = dict(
    type='EffectiveBatchLoop', max_iters=6000, effective_batch=2, val_interval=10**9)
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-5, weight_decay=1e-6))
param_scheduler = dict(type='StepLR', step_size=60, gamma=0.985, by_epoch=False)

test_dataloader = dict(dataset=dict(data_root='data/DAVIS', year='2017'))
test_evaluator = dict(protocol='davis2017')
