# MUNet on DAVIS-2016, the displacement as printed: softmax of minus the similarity
_base_ = ['../_base_/datasets/davis2016.py', '../_base_/default_runtime.py']

model = dict(
    type='MUNet',
    query_encoder=dict(
        type='mmseg.ResNet', depth=50, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1),
        out_indices=(0, 1, 2), norm_eval=True),
    memory_encoder=dict(
        type='mmseg.ResNet', in_channels=4, depth=50, num_stages=3, strides=(1, 2, 2),
        dilations=(1, 1, 1), out_indices=(2,), norm_eval=True),
    decoder=dict(
        type='RefineDecoder', skip_channels=(512, 256), value_channels=512, channels=256),
    matching_head=dict(type='GlobalMatching'),
    memory=dict(type='FrameBank', every=5, recent=1),
    in_channels=1024,
    key_channels=128,
    radius=12,
    sign=-1,
    temperature=1.,
    loss=dict(type='LossSum', losses=[
        dict(type='CrossEntropy', top_p=0.4), dict(type='MaskIoULoss')]),
    geometry=dict(divisor=16, sides='both'))
