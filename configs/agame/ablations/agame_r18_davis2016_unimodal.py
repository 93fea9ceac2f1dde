# Table 1: one Gaussian for the background, one for the object
_base_ = ['../agame_r18_davis2016.py']

load_from = None  # all begin anew
model = dict(appearance=dict(type='UnimodalAppearance'))
