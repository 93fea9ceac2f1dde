# Table 1: any W (the released code)
_base_ = ['../cosnet_r18_davis2016.py']

model = dict(co_attention=dict(type='VanillaCoAttention'))
