# First stage of agame_r18_davis2016.py
_base_ = ['../_base_/datasets/davis2016.py', '../_base_/schedules/still_small.py',
         '../_base_/default_runtime.py']

model = dict(
    type='AGAME',
    backbone=dict(
        type='mmseg.ResNet', depth=18, base_channels=32, stem_channels=32, num_stages=3,
        strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(0, 1, 2)),
    appearance=dict(type='GaussianAppearance', in_channels=128, channels=128, rate=0.1),
    in_channels=(32, 64, 128),
    propagation_channels=112,
    fusion_channels=(128, 64),
    loss=dict(type='CrossEntropy'),
    geometry=dict(divisor=16, sides='both', mode='reflect', short_side=320))
