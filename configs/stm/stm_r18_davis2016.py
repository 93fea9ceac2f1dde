# STM with a small ResNet-18
# From scratch on DAVIS-2016; first train stm_r18_still.py.
# Batch norms are trained too: there are no ImageNet weights to keep.
_base_ = ['../_base_/datasets/davis2016.py', '../_base_/schedules/davis2016_small.py',
         '../_base_/default_runtime.py']

model = dict(
    type='STM',
    query_encoder=dict(
        type='mmseg.ResNet', depth=18, base_channels=32, stem_channels=32, num_stages=3,
        strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(0, 1, 2)),
    memory_encoder=dict(
        type='mmseg.ResNet', in_channels=5, depth=18, base_channels=32, stem_channels=32,
        num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,)),
    decoder=dict(
        type='RefineDecoder', skip_channels=(64, 32), value_channels=128, channels=64),
    matching_head=dict(type='GlobalMatching'),
    memory=dict(type='FrameBank', every=5, recent=1),
    in_channels=128,
    key_channels=64,
    loss=dict(type='CrossEntropy'),
    geometry=dict(divisor=16, sides='both', short_side=320))

load_from = 'work_dirs/stm_r18_still/iter_2500.pth'
