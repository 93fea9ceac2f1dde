# First stage of rvos_r18_oneshot_davis2016.py: true masks of the frame before
_base_ = ['../_base_/datasets/davis2016.py', '../_base_/schedules/still_small.py',
         '../_base_/default_runtime.py']

model = dict(
    type='RVOSMask',
    backbone=dict(
        type='mmseg.ResNet', depth=18, base_channels=32, stem_channels=32,
        out_indices=(0, 1, 2, 3)),
    in_channels=(32, 64, 128, 256),
    channels=(128, 64, 32, 16),
    recurrence=('spatial', 'temporal'),
    previous='given',
    geometry=dict(short_side=240))
