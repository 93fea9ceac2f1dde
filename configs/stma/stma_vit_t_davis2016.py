# STMA with a small ViT
# From scratch on DAVIS-2016, in clips of five frames; first train stma_vit_t_still.py.
_base_ = ['../_base_/datasets/davis2016.py', '../_base_/schedules/davis2016_small.py',
         '../_base_/default_runtime.py']

model = dict(
    type='STMA',
    backbone=dict(
        type='ViTSTML', channels=192, depth=8, heads=3, fine_channels=(32, 64)),
    value_encoder=dict(
        type='mmseg.ResNet', in_channels=5, depth=18, base_channels=32, stem_channels=32,
        num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,)),
    decoder=dict(
        type='RefineDecoder', skip_channels=(64, 32), value_channels=128, channels=64),
    matching_head=dict(type='GlobalMatching', topk=30, similarity='l2'),
    frames=dict(type='FrameBank', every=3, newest=1, recent=0),
    memory=dict(type='UsageBank', budget=8800, every=3),
    value_channels=128,
    key_channels=64,
    loss=dict(type='LossSum', weights=(0.5, 0.5), losses=[
        dict(type='CrossEntropy', top_p=0.4), dict(type='DiceLoss')]),
    geometry=dict(divisor=16, sides='both', short_side=320))

train_dataloader = dict(batch_size=2, dataset=dict(length=5))

load_from = 'work_dirs/stma_vit_t_still/iter_2500.pth'
