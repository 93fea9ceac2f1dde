# Table 1: nothing left out
_base_ = ['../stma_convvit_t_davis2016.py']

train_dataloader = dict(dataset=dict(length=3))
train_cfg = dict(max_iters=600)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=100),
    dict(type='CosineAnnealingLR', eta_min=4e-6, by_epoch=False, begin=100, end=600)]
load_from = None  # all rows begin anew, but for what STM gives them
