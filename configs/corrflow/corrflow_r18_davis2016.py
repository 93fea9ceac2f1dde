# CorrFlow on DAVIS-2016: the frame before, full resolution
_base_ = ['../_base_/datasets/davis2016.py', '../_base_/default_runtime.py']

model = dict(
    type='CorrFlow',
    backbone=dict(type='VOSResNet18'),
    # temperature=1. in both heads is the released form: products are not divided by sqrt(64)
    matching_head=dict(type='LocalMatching', radius=6, out_of_range='mask'),
    memory=dict(type='FrameBank', recent=1, annotated=False),
    reconstruction_head=dict(type='LocalMatching', radius=6, out_of_range='mask'),
    loss=dict(type='ColorClassLoss'),
    true_colors=(0.9, 0.6),
    cycle_weight=0.1,
    geometry=dict(divisor=8))
