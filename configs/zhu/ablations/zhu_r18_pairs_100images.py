# Table 3: 100 images that homographies move, first stage. The paper gives no number
# of iterations; it is that of the whole set here.
_base_ = ['../zhu_r18_pairs_ytvos.py']

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
