# Table 2: ConvViT-B from ConvMAE, the whole
_base_ = ['../protocols/stma_convvit_b_davis2017_ytvos.py']

model = dict(backbone=dict(
    init_cfg=dict(type='Pretrained', checkpoint='data/pretrained/convmae_base.pth')))
