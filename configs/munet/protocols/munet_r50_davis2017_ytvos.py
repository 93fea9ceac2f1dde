# DAVIS-2017 and YouTube-VOS 2018 together, without still images: 150 epochs of one clip per video
_base_ = ['../munet_r50_faithful_davis2016.py']

train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='ClipMixture',
        repeats=(1, 1),
        datasets=[
            dict(
                type='MaskedClipDataset',
                source=dict(type='DAVIS', data_root='data/DAVIS', year='2017', split='train'),
                length=6,
                max_skip=1,
                reverse=0.,
                pipeline=[
                    dict(type='CropAroundObject', size=(400, 400), scale=(1.1, 1.2), jitter=40),
                    dict(type='RandomFlipClip', prob=0.3),
                    dict(type='PerFrame', transforms=[
                        dict(type='RandomAffine', prob=1., rotate=15, shear=10, translate=0.1,
                             scale=(0.95, 1.05)),
                        dict(type='ColorJitter')]),
                    dict(type='ChooseObjects', most=3),
                    dict(type='PackClip'),
                ]),
            dict(
                type='MaskedClipDataset',
                source=dict(type='YouTubeVOS', data_root='data/YouTubeVOS', split='train'),
                length=6,
                max_skip=1,
                reverse=0.,
                pipeline=[
                    dict(type='CropAroundObject', size=(400, 400), scale=(1.31, 1.7), jitter=40),
                    dict(type='RandomFlipClip', prob=0.3),
                    dict(type='PerFrame', transforms=[
                        dict(type='RandomAffine', prob=1., rotate=15, shear=10, translate=0.1,
                             scale=(0.95, 1.05)),
                        dict(type='ColorJitter')]),
                    dict(type='ChooseObjects', most=3),
                    dict(type='PackClip'),
                ]),
        ]))
train_cfg = dict(
    type='EffectiveBatchLoop', max_iters=529650, effective_batch=1, val_interval=10**9)
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=2e-5, weight_decay=0.5))
param_scheduler = dict(type='StepLR', step_size=105930, gamma=0.5, by_epoch=False)

test_dataloader = dict(dataset=dict(data_root='data/DAVIS', year='2017'))
test_evaluator = dict(protocol='davis2017')
