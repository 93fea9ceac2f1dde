# Table 1: no gradient through the fitted Gaussians
_base_ = ['../agame_r18_davis2016.py']

load_from = None  # all begin anew
model = dict(appearance=dict(type='FixedAppearance'))
