# Table 4 (e) and (g), the same network: everything, fused by attention
_base_ = ['../munet_r18_davis2016.py']

load_from = None  # all rows begin anew
