# Table 1: without spatial memory: the frame and the objects look at each other
_base_ = ['../stma_vit_t_davis2016.py']

load_from = None  # all rows begin anew
model = dict(type='STMAWithoutFrames', backbone=dict(type='JointViTSTML'))
