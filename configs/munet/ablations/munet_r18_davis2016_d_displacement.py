# Table 4 (d): displacement without uncertainty
_base_ = ['../munet_r18_davis2016.py']

load_from = None  # all rows begin anew
model = dict(type='MUNetWithoutUncertainty')
