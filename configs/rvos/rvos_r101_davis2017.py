# Zero-shot RVOS on DAVIS-2017, the released architecture: ten slots
_base_ = ['../_base_/datasets/davis2017.py', '../_base_/default_runtime.py']

model = dict(
    type='RVOS',
    backbone=dict(
        type='mmseg.ResNet', depth=101, out_indices=(0, 1, 2, 3)),
    in_channels=(256, 512, 1024, 2048),
    channels=(128, 64, 32, 16),
    recurrence=('spatial', 'temporal'),
    num_slots=10,
    match_candidates='first_n',
    geometry=dict(size=(240, 427)))

test_dataloader = dict(dataset=dict(annotations='Annotations_unsupervised'))  # its own download
test_evaluator = dict(protocol='davis2017-unsupervised')
