# One-shot, then 20 epochs of DAVIS-2017 (210 updates each); first train
# rvos_r101_oneshot_inferred.py
_base_ = ['../rvos_r101_oneshot_davis2017.py']

model = dict(previous='inferred')
load_from = 'work_dirs/rvos_r101_oneshot_inferred/iter_69420.pth'
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='MaskedClipDataset',
        source=dict(type='DAVIS', data_root='data/DAVIS', year='2017', split='train'),
        length=5,
        max_skip=1,
        clips_per_video=14,
        reverse=0.,
        pipeline=[
            dict(type='ResizeClip', size=(240, 427)),
            dict(type='RandomFlipClip'),
            dict(
                type='RandomAffine', prob=1., rotate=10., translate=0.1, shear=5.7,
                scale=(0.7, 1.4)),
            dict(type='ChooseObjects', most=10, area=1),
            dict(type='PackClip'),
        ]))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4200, val_interval=10**9)
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3, weight_decay=1e-6),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1e-3))))
