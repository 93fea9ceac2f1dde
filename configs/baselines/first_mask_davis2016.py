# The first mask, copied to every frame
_base_ = ['../_base_/datasets/davis2016.py', '../_base_/default_runtime.py']

model = dict(
    type='FlowPropagation',
    memory=dict(type='FrameBank', anchors=(0,), recent=0),
    motion_estimator=dict(type='ZeroFlow', stride=1))
