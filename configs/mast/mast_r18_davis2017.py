# MAST on DAVIS-2017
_base_ = ['../_base_/datasets/davis2017.py', '../_base_/default_runtime.py']

model = dict(
    type='MAST',
    backbone=dict(type='VOSResNet18'),
    matching_head=dict(type='MovedWindowMatching', radius=12),
    memory=dict(type='FrameBank', anchors=(0, 5), recent=3, gap=2),
    reconstruction_head=dict(type='LocalMatching', radius=6),
    loss=dict(type='ColorReconstructionLoss', scale=20.))
