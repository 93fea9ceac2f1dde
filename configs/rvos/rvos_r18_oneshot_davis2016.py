# One-shot RVOS with a small ResNet-18
# From scratch on DAVIS-2016, with the masks that it finds itself; first train
# rvos_r18_oneshot_still.py. The backbone is trained whole: there are no ImageNet weights to keep.
_base_ = ['../_base_/datasets/davis2016.py', '../_base_/schedules/davis2016_small.py',
         '../_base_/default_runtime.py']

model = dict(
    type='RVOSMask',
    backbone=dict(
        type='mmseg.ResNet', depth=18, base_channels=16, stem_channels=16,
        out_indices=(0, 1, 2, 3)),
    in_channels=(16, 32, 64, 128),
    channels=(48, 24, 16, 8),
    recurrence=('spatial', 'temporal'),
    previous='inferred',
    geometry=dict(short_side=240))

load_from = 'work_dirs/rvos_r18_oneshot_still/iter_1500.pth'
train_dataloader = dict(dataset=dict(length=4))
train_cfg = dict(max_iters=2500)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=200),
    dict(type='CosineAnnealingLR', eta_min=4e-6, by_epoch=False, begin=200, end=2500)]
