# Table 2: 1 reference
_base_ = ['../cosnet_r18_davis2016.py']

model = dict(references=1)
