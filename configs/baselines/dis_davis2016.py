# Masks carried from frame to frame by DIS flow
_base_ = ['../_base_/datasets/davis2016.py', '../_base_/default_runtime.py']

model = dict(
    type='FlowPropagation',
    memory=dict(type='FrameBank', recent=1),
    motion_estimator=dict(type='DISFlow', stride=1, scale=1))
