# Table 1: posteriors instead of raw scores
_base_ = ['../agame_r18_davis2016.py']

load_from = None  # all begin anew
model = dict(appearance=dict(type='SoftmaxAppearance'))
