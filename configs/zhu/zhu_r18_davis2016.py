# Zhu et al. on DAVIS-2016: five references, the first frame always one of them
_base_ = ['../_base_/datasets/davis2016.py', '../_base_/default_runtime.py']

model = dict(
    type='MomentumPropagation',
    backbone=dict(type='VOSResNet18'),
    matching_head=dict(type='LocalMatching', radius=12),
    memory=dict(type='FrameBank', anchors=(0, 5), recent=3, gap=2),
    reconstruction_head=dict(type='LocalMatching', radius=12),
    loss=dict(type='ColorReconstructionLoss', scale=20.),
    momentum=0.999)
