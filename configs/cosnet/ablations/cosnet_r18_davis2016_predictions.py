# Table 1: predictions are averaged, not summaries (the released code)
_base_ = ['../cosnet_r18_davis2016.py']

model = dict(type='COSNetPredictions')
