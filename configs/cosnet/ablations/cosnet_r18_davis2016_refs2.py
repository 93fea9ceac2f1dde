# Table 2: 2 references
_base_ = ['../cosnet_r18_davis2016.py']

model = dict(references=2)
