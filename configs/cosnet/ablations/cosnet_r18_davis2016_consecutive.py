# Table 2: the frames before as references
_base_ = ['../cosnet_r18_davis2016.py']

model = dict(sampling='consecutive')
