# A-GAME on DAVIS-2016, the released architecture: ResNet-101 whose last stage keeps 1/16
_base_ = ['../_base_/datasets/davis2016.py', '../_base_/default_runtime.py']

model = dict(
    type='AGAME',
    backbone=dict(
        type='mmseg.ResNet', depth=101, strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2),
        contract_dilation=True, out_indices=(0, 1, 3), frozen_stages=3),
    appearance=dict(type='GaussianAppearance', in_channels=2048, channels=512, rate=0.1),
    in_channels=(256, 512, 2048),
    propagation_channels=512,
    fusion_channels=(512, 128),
    loss=dict(type='CrossEntropy'),
    geometry=dict(divisor=16, sides='both', mode='reflect'))
