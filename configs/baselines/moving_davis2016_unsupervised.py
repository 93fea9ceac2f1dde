# The largest region that moves against the median motion, by DIS flow
_base_ = ['../_base_/datasets/davis2016_unsupervised.py', '../_base_/default_runtime.py']

model = dict(
    type='LargestMovingRegion',
    motion_estimator=dict(type='DISFlow', stride=1, scale=1))
