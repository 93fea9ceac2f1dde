# First stage: 160 epochs, as many clips of DAVIS-2017 as of YouTube-VOS 2018, the rate multiplied
# by 0.975 after each. An epoch has 2,600 clips here, as in the released run on DAVIS alone.
_base_ = ['../agame_r101_davis2016.py']

train_dataloader = dict(
    batch_size=4,
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
                length=8,
                max_skip=1,
                reverse=0.,
                pipeline=[
                    dict(type='ResizeClip', size=(240, 432)),
                    dict(type='RandomFlipClip'),
                    dict(type='ChooseObjects', most=1),
                    dict(type='PackClip'),
                ]),
            dict(
                type='MaskedClipDataset',
                source=dict(type='YouTubeVOS', data_root='data/YouTubeVOS', split='train'),
                length=8,
                max_skip=1,
                reverse=0.,
                pipeline=[
                    dict(type='ResizeClip', size=(240, 432)),
                    dict(type='RandomFlipClip'),
                    dict(type='ChooseObjects', most=1),
                    dict(type='PackClip'),
                ]),
        ]))
train_cfg = dict(
    type='EffectiveBatchLoop', max_iters=104000, effective_batch=4, val_interval=10**9)
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-4, weight_decay=1e-5))
param_scheduler = dict(type='StepLR', step_size=650, gamma=0.975, by_epoch=False)

test_dataloader = dict(dataset=dict(data_root='data/DAVIS', year='2017'))
test_evaluator = dict(protocol='davis2017')
