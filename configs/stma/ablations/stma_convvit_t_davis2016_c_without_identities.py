# Table 1: without temporal memory: references carry masks, as in SimVOS
_base_ = ['stma_convvit_t_davis2016_e_full.py']

model = dict(
    _delete_=True,
    type='STMAWithoutIdentities',
    backbone=dict(
        type='ConvViTSTML', channels=192, depth=5, heads=3, fine_channels=(32, 64)),
    decoder=dict(
        type='RefineDecoder', skip_channels=(64, 32), value_channels=128, channels=64,
        init_cfg=dict(
            type='Pretrained', checkpoint='checkpoints/stm_r18_87b61b87.pth', prefix='decoder')),
    frames=dict(type='FrameBank', every=3, newest=1, recent=0),
    loss=dict(type='LossSum', weights=(0.5, 0.5), losses=[
        dict(type='CrossEntropy', top_p=0.4), dict(type='DiceLoss')]),
    geometry=dict(divisor=16, sides='both', short_side=320))
