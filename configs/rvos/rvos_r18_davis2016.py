# Zero-shot RVOS with a small ResNet-18
# From scratch on DAVIS-2016, where there is one object to find: one slot, nearly whole frames;
# first train rvos_r18_still.py. The backbone is trained whole: there are no ImageNet weights.
_base_ = ['../_base_/datasets/davis2016_unsupervised.py', '../_base_/schedules/davis2016_small.py',
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

load_from = 'work_dirs/rvos_r18_still/iter_1500.pth'
train_dataloader = dict(
    dataset=dict(
        length=4,
        pipeline=[
            dict(type='CropAroundObject', size=(208, 368), scale=(1.6, 2.3), jitter=60),
            dict(type='RandomFlipClip'),
            dict(type='ColorJitter', brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1),
            dict(type='RandomGray', prob=0.05),
            dict(type='ChooseObjects', most=1),
            dict(type='PackClip'),
        ]))
train_cfg = dict(max_iters=3500)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=200),
    dict(type='CosineAnnealingLR', eta_min=4e-6, by_epoch=False, begin=200, end=3500)]
