# MAMP's matching on the raw Lab colour of every fourth pixel
_base_ = ['../_base_/datasets/davis2016.py', '../_base_/default_runtime.py']

model = dict(
    type='MAMP',
    backbone=dict(type='RawColor'),
    matching_head=dict(type='LocalMatching', radius=12, topk=36),
    memory=dict(type='FrameBank', anchors=(0, 5), recent=3, gap=2),
    motion_estimator=dict(type='ZeroFlow'),
    geometry=dict(divisor=8, value=0.467))
