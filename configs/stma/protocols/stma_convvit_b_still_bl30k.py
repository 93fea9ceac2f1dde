# Second stage, optional: BL30K, 250,000 updates. data/BL30K is laid out as DAVIS-2017 is: videos
# in JPEGImages/480p and Annotations/480p, their names in ImageSets/2017/train.txt.
_base_ = ['./stma_convvit_b_still.py']

train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        _delete_=True,
        type='MaskedClipDataset',
        source=dict(type='DAVIS', data_root='data/BL30K', year='2017', split='train'),
        length=5,
        max_skip=15,
        skip_every=1,
        pipeline=[
            dict(type='CropAroundObject', size=(384, 384), scale=(0.65, 1.3), jitter=40),
            dict(type='RandomFlipClip'),
            dict(
                type='ColorJitter', brightness=0.1, contrast=0.03, saturation=0.03, hue=0.),
            dict(type='RandomGray', prob=0.05),
            dict(type='ChooseObjects', most=3),
            dict(type='PackClip'),
        ]))
train_cfg = dict(max_iters=250000, effective_batch=8)

load_from = 'work_dirs/stma_convvit_b_still/iter_150000.pth'
