# Table 1: no mask propagation
_base_ = ['../agame_r18_davis2016.py']

load_from = None  # all begin anew
model = dict(propagation_channels=None)
