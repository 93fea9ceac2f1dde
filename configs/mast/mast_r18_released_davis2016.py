# MAST as it was released: products of features are not divided, labels of all searched references
# are read at the offsets of the newest of them. For weights that were trained that way.
_base_ = ['../_base_/datasets/davis2016.py', '../_base_/default_runtime.py']

model = dict(
    type='ReleasedMAST',
    backbone=dict(type='VOSResNet18'),
    matching_head=dict(type='MovedWindowMatching', radius=12, temperature=1),
    memory=dict(type='FrameBank', anchors=(0, 5), recent=3, gap=2),
    reconstruction_head=dict(type='LocalMatching', radius=6, temperature=1),
    loss=dict(type='ColorReconstructionLoss', scale=20.))
