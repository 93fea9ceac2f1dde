# Table 1: diagonal W
_base_ = ['../cosnet_r18_davis2016.py']

model = dict(co_attention=dict(type='ChannelCoAttention'))
