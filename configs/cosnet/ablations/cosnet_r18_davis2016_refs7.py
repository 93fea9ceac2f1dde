# Table 2: 7 references
_base_ = ['../cosnet_r18_davis2016.py']

model = dict(references=7)
