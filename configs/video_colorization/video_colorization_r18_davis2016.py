# Video Colorization on DAVIS-2016: the three frames before, shorter side 256
_base_ = ['../_base_/datasets/davis2016.py', '../_base_/default_runtime.py']

model = dict(
    type='VideoColorization',
    backbone=dict(
        type='mmseg.ResNet',
        depth=18,
        in_channels=1,
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 1, 1),
        out_indices=(3,)),
    stride=8,
    in_channels=512,
    channels=256,
    embed_channels=64,
    matching_head=dict(type='GlobalMatching'),
    memory=dict(type='FrameBank', recent=3, annotated=False),
    reconstruction_head=dict(type='GlobalMatching'),
    loss=dict(type='ColorClassLoss'),
    # of the size that it is trained at
    geometry=dict(divisor=8, short_side=256))
