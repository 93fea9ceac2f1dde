# Table 4 (c): displacement and uncertainty, plain cross entropy
_base_ = ['../munet_r18_davis2016.py']

load_from = None  # all rows begin anew
model = dict(loss=dict(_delete_=True, type='CrossEntropy'))
