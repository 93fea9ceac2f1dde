# Table 4 (f): everything, fused by addition
_base_ = ['../munet_r18_davis2016.py']

load_from = None  # all rows begin anew
model = dict(type='MUNetAddition')
