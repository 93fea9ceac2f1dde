# MAMP on DAVIS-2016, for weights of small machines: memory {0, 5, t-1, t-3, t-5}, full resolution,
# candidates ranked by distance, flow tracked, soft labels drawn where they were read.
# mamp_r18_released_davis2016.py is the paper's inference.
_base_ = ['../_base_/datasets/davis2016.py', '../_base_/default_runtime.py']

model = dict(
    type='TrackingMAMP',
    backbone=dict(type='VOSResNet18'),
    matching_head=dict(type='EuclideanMatching', radius=12, topk=36, temperature=16.),
    memory=dict(type='FrameBank', anchors=(0, 5), recent=3, gap=2),
    motion_estimator=dict(type='DISFlow'),
    reconstruction_head=dict(type='EuclideanMatching', radius=12, temperature=16.),
    loss=dict(type='ColorReconstructionLoss', scale=20.),
    upsample='kernel_centre',
    geometry=dict(divisor=8, value=0.467))
