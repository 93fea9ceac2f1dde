# One softmax over all references (a variant of the released code)
_base_ = ['../cosnet_r18_davis2016.py']

model = dict(type='COSNetGroup')
