# DAVIS-2017 alone. Clips of three whose frames are up to 25 apart, one more after every 50 epochs
# (750 updates); the gradient stops at predicted masks.
_base_ = ['../stm_r50_davis2016.py']

model = dict(detach=True)
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='MaskedClipDataset',
        source=dict(type='DAVIS', data_root='data/DAVIS', year='2017', split='train'),
        max_skip=25,
        skip_every=50,
        pipeline=[
            dict(type='CropAroundObject', size=(384, 384), scale=(0.9, 1.25), jitter=20),
            dict(type='RandomFlipClip'),
            dict(type='PerFrame', transforms=[dict(type='RandomAffine', prob=0.5)]),
            dict(type='ChooseObjects', most=5),
            dict(type='PackClip'),
        ]))
train_cfg = dict(
    type='EffectiveBatchLoop', max_iters=200000, effective_batch=4, val_interval=10**9)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-5))
param_scheduler = dict(type='PolyLR', power=0.9, by_epoch=False)

test_dataloader = dict(dataset=dict(data_root='data/DAVIS', year='2017'))
test_evaluator = dict(protocol='davis2017')
