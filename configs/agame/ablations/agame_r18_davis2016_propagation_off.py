# Table 1: no mask propagation
_base_ = ['../agame_r18_davis2016.py']

model = dict(propagation_channels=None)
