# Table 2: all frames before t
_base_ = ['../zhu_r18_davis2016.py']

model = dict(memory=dict(_delete_=True, type='FrameBank', every=1))
