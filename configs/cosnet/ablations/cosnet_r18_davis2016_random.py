# Table 2: references at random
_base_ = ['../cosnet_r18_davis2016.py']

model = dict(sampling='random')
