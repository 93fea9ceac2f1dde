# The fit as in the text: without the released code's pseudo-pixel
_base_ = ['../agame_r18_davis2016.py']

load_from = None  # all begin anew
model = dict(appearance=dict(pseudo_count=0.))
