# Everything is background
_base_ = ['../_base_/datasets/davis2016_unsupervised.py', '../_base_/default_runtime.py']

model = dict(
    type='CentrePrior', size=(0., 0.))
