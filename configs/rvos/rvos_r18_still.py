# First stage of rvos_r18_davis2016.py
# Nearly whole frames with one object each: nothing tells a zero-shot model which one is meant.
_base_ = ['../_base_/datasets/davis2016_unsupervised.py', '../_base_/schedules/still_small.py',
         '../_base_/default_runtime.py']

model = dict(
    type='RVOS',
    backbone=dict(
        type='mmseg.ResNet', depth=18, base_channels=16, stem_channels=16,
        out_indices=(0, 1, 2, 3)),
    in_channels=(16, 32, 64, 128),
    channels=(48, 24, 16, 8),
    recurrence=('spatial', 'temporal'),
    num_slots=1,
    geometry=dict(short_side=240))

train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(
                type='StillClipDataset',
                source=dict(type='DAVIS', data_root='data/DAVIS', year='2016', split='train'),
                clips_per_video=20,
                pipeline=[
                    dict(type='CropAroundObject', size=(128, 224), scale=(2.5, 3.8), jitter=80),
                    dict(type='RandomFlipClip'),
                    dict(type='PerFrame', transforms=[
                        dict(type='RandomAffine', prob=0.9, translate=0.1),
                        dict(type='RandomThinPlate', prob=0.3),
                        dict(type='ColorJitter')]),
                    dict(type='ColorJitter', brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1),
                    dict(type='RandomGray', prob=0.05),
                    dict(type='ChooseObjects', most=1, area=50),
                    dict(type='PackClip'),
                ]),
            dict(
                type='MaskedClipDataset',
                source=dict(
                    type='SyntheticVOS', num_videos=300, size=(144, 256), num_objects=(1, 1),
                    seed=1),
                max_skip=5,
                clips_per_video=2,
                pipeline=[
                    dict(type='CropAroundObject', size=(128, 224), scale=(0.8, 1.1), jitter=40),
                    dict(type='RandomFlipClip'),
                    dict(type='ColorJitter', brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1),
                    dict(type='ChooseObjects', most=1, area=50),
                    dict(type='PackClip'),
                ]),
        ]))
train_cfg = dict(max_iters=1500)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=200),
    dict(type='CosineAnnealingLR', eta_min=5e-6, by_epoch=False, begin=200, end=1500)]
