# Table 2: 1 reference, t-1
_base_ = ['../zhu_r18_davis2016.py']

model = dict(memory=dict(_delete_=True, type='FrameBank', recent=1, annotated=False))
