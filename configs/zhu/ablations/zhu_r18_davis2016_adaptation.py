# Table 1: with online adaptation, masks refined by a network trained on each video
_base_ = ['../zhu_r18_davis2016.py']

model = dict(refiner=dict(type='OnlineAdaptation'))
