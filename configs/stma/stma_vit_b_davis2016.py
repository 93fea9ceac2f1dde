# STMA with ViT-B, a row of the paper's Table 2
_base_ = ['../_base_/datasets/davis2016.py', '../_base_/default_runtime.py']

model = dict(
    type='STMA',
    backbone=dict(
        type='ViTSTML', channels=768, depth=12, heads=12, fine_channels=(256, 512)),
    value_encoder=dict(
        type='mmseg.ResNet', in_channels=5, depth=18, num_stages=3, strides=(1, 2, 2),
        dilations=(1, 1, 1), out_indices=(2,), norm_eval=True),
    decoder=dict(
        type='RefineDecoder', skip_channels=(512, 256), value_channels=512, channels=256),
    matching_head=dict(type='GlobalMatching', topk=30, similarity='l2'),
    frames=dict(type='FrameBank', every=3, newest=1, recent=0),
    memory=dict(type='UsageBank', budget=17820, every=3),
    value_channels=256,
    key_channels=64,
    loss=dict(type='LossSum', weights=(0.5, 0.5), losses=[
        dict(type='CrossEntropy', top_p=0.15, warm_up=(20000, 70000)), dict(type='DiceLoss')]),
    geometry=dict(divisor=16, sides='both', short_side=480))
