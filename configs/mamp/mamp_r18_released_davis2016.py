# MAMP as released, on DAVIS-2016: memory {0, 5, t-1, t-3, t-5}, full resolution. The paper's
# ablations change one line of it; our weights do better with mamp_r18_davis2016.py.
_base_ = ['../_base_/datasets/davis2016.py', '../_base_/default_runtime.py']

model = dict(
    type='MAMP',
    backbone=dict(type='VOSResNet18'),
    matching_head=dict(type='LocalMatching', radius=12, topk=36),
    memory=dict(type='FrameBank', anchors=(0, 5), recent=3, gap=2),
    motion_estimator=dict(type='DISFlow'),
    reconstruction_head=dict(type='LocalMatching', radius=6),
    loss=dict(type='ColorReconstructionLoss', scale=20.),
    geometry=dict(divisor=8, value=0.467))
