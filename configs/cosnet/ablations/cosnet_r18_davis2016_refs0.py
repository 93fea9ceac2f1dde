# Table 2: 0 references, every frame alone
_base_ = ['../cosnet_r18_davis2016.py']

model = dict(type='COSNetAlone')
