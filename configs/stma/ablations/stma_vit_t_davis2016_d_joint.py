# Table 1: with one attention over all tokens
_base_ = ['../stma_vit_t_davis2016.py']

load_from = None  # all rows begin anew
model = dict(backbone=dict(type='JointViTSTML'))
