# DAVIS-2017 and YouTube-VOS together, 160,000 updates of 16 clips of five frames, the rate divided
# by ten after 100,000. DAVIS is repeated five times. Frames of a clip are one mask apart at first,
# more later: up to 15 in DAVIS and 3 in YouTube-VOS, where every fifth frame has a mask.
_base_ = ['./stma_convvit_b_still.py']

train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        _delete_=True,
        type='ClipMixture',
        repeats=(5, 1),
        datasets=[
            dict(
                type='MaskedClipDataset',
                source=dict(type='DAVIS', data_root='data/DAVIS', year='2017', split='train'),
                length=5,
                max_skip=15,
                skip_every=20,
                pipeline=[
                    dict(type='CropAroundObject', size=(384, 384), scale=(0.8, 1.25), jitter=40),
                    dict(type='RandomFlipClip'),
                    dict(type='PerFrame', transforms=[
                        dict(type='RandomAffine', prob=1., rotate=15, shear=10, scale=(0.9, 1.1))]),
                    dict(
                        type='ColorJitter', brightness=0.1, contrast=0.03, saturation=0.03, hue=0.),
                    dict(type='RandomGray', prob=0.05),
                    dict(type='ChooseObjects', most=3),
                    dict(type='PackClip'),
                ]),
            dict(
                type='MaskedClipDataset',
                source=dict(type='YouTubeVOS', data_root='data/YouTubeVOS', split='train'),
                length=5,
                max_skip=3,
                skip_every=100,
                pipeline=[
                    dict(type='CropAroundObject', size=(384, 384), scale=(1.1, 1.88), jitter=40),
                    dict(type='RandomFlipClip'),
                    dict(type='PerFrame', transforms=[
                        dict(type='RandomAffine', prob=1., rotate=15, shear=10, scale=(0.9, 1.1))]),
                    dict(
                        type='ColorJitter', brightness=0.1, contrast=0.03, saturation=0.03, hue=0.),
                    dict(type='RandomGray', prob=0.05),
                    dict(type='ChooseObjects', most=3),
                    dict(type='PackClip'),
                ]),
        ]))
train_cfg = dict(max_iters=160000)
param_scheduler = dict(type='MultiStepLR', milestones=[100000], gamma=0.1, by_epoch=False)

test_dataloader = dict(dataset=dict(data_root='data/DAVIS', year='2017'))
test_evaluator = dict(protocol='davis2017')
