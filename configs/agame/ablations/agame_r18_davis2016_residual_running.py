# The hard components as in the text: by the posteriors of the running Gaussians
_base_ = ['../agame_r18_davis2016.py']

load_from = None  # all begin anew
model = dict(appearance=dict(residual_from='running'))
