# MUNet on DAVIS-2016 with AFB-URR's adaptive bank in place of every fifth frame
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
    matching_head=dict(type='GlobalMatching', count_above=1e-3),
    memory=dict(type='AdaptiveBank', budget=300_000, similarity=0.95, rate=0.1),
    in_channels=1024,
    key_channels=128,
    radius=12,
    sign=1,
    temperature=0.1,
    loss=dict(type='BootstrappedIoU', top_p=0.4),
    geometry=dict(divisor=16, sides='both'))
