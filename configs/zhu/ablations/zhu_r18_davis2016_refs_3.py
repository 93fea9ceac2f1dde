# Table 2: 3 references, {0, t-1, t-3}
_base_ = ['../zhu_r18_davis2016.py']

model = dict(memory=dict(_delete_=True, type='FrameBank', anchors=(0,), recent=2, gap=2))
