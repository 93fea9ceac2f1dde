# Table 1: the Gaussians of the first frame, never updated
_base_ = ['../agame_r18_davis2016.py']

load_from = None  # all begin anew
model = dict(appearance=dict(rate=0.))
