# Table 3: 100 images that homographies move, second stage
_base_ = ['../zhu_r18_memory_ytvos.py']

train_dataloader = dict(
    dataset=dict(
        type='AnimatedImageDataset',
        source=dict(indices=100),
        pipeline=[
            dict(type='CropAroundObject', size=(384, 384), scale=(0.6, 1.2)),
            dict(type='PerFrame', transforms=[dict(type='RandomHomography')]),
            dict(type='ColorJitter', prob=0.3),
            dict(type='PackClip'),
        ]))

load_from = 'work_dirs/zhu_r18_pairs_100images/iter_120000.pth'
