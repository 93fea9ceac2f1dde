# Table 1: without spatial memory: the frame and the objects look at each other
_base_ = ['stma_convvit_t_davis2016_e_full.py']

model = dict(type='STMAWithoutFrames', backbone=dict(type='JointConvViTSTML'))
