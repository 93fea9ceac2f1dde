# First stage of rvos_r18_oneshot_davis2016.py: true masks of the frame before
_base_ = ['../_base_/datasets/davis2016.py', '../_base_/schedules/still_small.py',
         '../_base_/default_runtime.py']

model = dict(
    type='RVOSMask',
    backbone=dict(
        type='mmseg.ResNet', depth=18, base_channels=16, stem_channels=16,
        out_indices=(0, 1, 2, 3)),
    in_channels=(16, 32, 64, 128),
    channels=(48, 24, 16, 8),
    recurrence=('spatial', 'temporal'),
    previous='given',
    geometry=dict(short_side=240))
train_cfg = dict(max_iters=1500)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=200),
    dict(type='CosineAnnealingLR', eta_min=5e-6, by_epoch=False, begin=200, end=1500)]
