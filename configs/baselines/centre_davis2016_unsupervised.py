# An ellipse about the centre, half as high and half as wide as the frame
_base_ = ['../_base_/datasets/davis2016_unsupervised.py', '../_base_/default_runtime.py']

model = dict(
    type='CentrePrior', size=(0.5, 0.5))
