# STMA with a small ConvViT
# On DAVIS-2016, in clips of four frames; first train stma_convvit_t_still.py. Value encoder and
# decoder begin as those of STM, which has the same; the backbone begins anew.
_base_ = ['../_base_/datasets/davis2016.py', '../_base_/schedules/davis2016_small.py',
         '../_base_/default_runtime.py']

model = dict(
    type='STMA',
    backbone=dict(
        type='ConvViTSTML', channels=192, depth=5, heads=3, fine_channels=(32, 64)),
    value_encoder=dict(
        type='mmseg.ResNet', in_channels=5, depth=18, base_channels=32, stem_channels=32,
        num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,),
        init_cfg=dict(
            type='Pretrained', checkpoint='checkpoints/stm_r18_87b61b87.pth',
            prefix='memory_encoder')),
    decoder=dict(
        type='RefineDecoder', skip_channels=(64, 32), value_channels=128, channels=64,
        init_cfg=dict(
            type='Pretrained', checkpoint='checkpoints/stm_r18_87b61b87.pth', prefix='decoder')),
    matching_head=dict(type='GlobalMatching', topk=30, similarity='l2'),
    frames=dict(type='FrameBank', every=3, newest=1, recent=0),
    memory=dict(type='UsageBank', budget=8800, every=3),
    value_channels=128,
    key_channels=64,
    loss=dict(type='LossSum', weights=(0.5, 0.5), losses=[
        dict(type='CrossEntropy', top_p=0.4), dict(type='DiceLoss')]),
    geometry=dict(divisor=16, sides='both', short_side=320))

train_dataloader = dict(batch_size=2, dataset=dict(length=4))
train_cfg = dict(max_iters=2000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=200),
    dict(type='CosineAnnealingLR', eta_min=4e-6, by_epoch=False, begin=200, end=2000)]

load_from = 'work_dirs/stma_convvit_t_still/iter_1500.pth'
