# Table 1: with one attention over all tokens
_base_ = ['stma_convvit_t_davis2016_e_full.py']

model = dict(backbone=dict(type='JointConvViTSTML'))
