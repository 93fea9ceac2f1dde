# The small STM on DAVIS-2016 with AFB-URR's adaptive bank, to test weights of stm_r18_davis2016.py
# Every frame is memorised: what is alike is merged, what is hardly read is forgotten.
_base_ = ['../_base_/datasets/davis2016.py', '../_base_/default_runtime.py']

model = dict(
    type='STM',
    query_encoder=dict(
        type='mmseg.ResNet', depth=18, base_channels=48, stem_channels=48, num_stages=3,
        strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(0, 1, 2)),
    memory_encoder=dict(
        type='mmseg.ResNet', in_channels=5, depth=18, base_channels=48, stem_channels=48,
        num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,)),
    decoder=dict(
        type='RefineDecoder', skip_channels=(96, 48), value_channels=256, channels=96),
    matching_head=dict(type='GlobalMatching', count_above=1e-3),
    memory=dict(type='AdaptiveBank', budget=300_000, similarity=0.95, rate=0.1),
    in_channels=192,
    key_channels=64,
    loss=dict(type='CrossEntropy'),
    geometry=dict(divisor=16, sides='both'))
