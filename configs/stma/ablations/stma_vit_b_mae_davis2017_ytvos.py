# Table 2: ViT-B from MAE
_base_ = ['../protocols/stma_convvit_b_davis2017_ytvos.py']

model = dict(
    backbone=dict(
        _delete_=True, type='ViTSTML', fine_channels=(256, 512),
        init_cfg=dict(type='Pretrained', checkpoint='data/pretrained/mae_vit_base.pth')),
    decoder=dict(skip_channels=(512, 256)))
