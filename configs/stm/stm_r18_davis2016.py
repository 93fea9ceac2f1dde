# STM with a small ResNet-18, trained from scratch on DAVIS-2016 at 240p, for one small machine
# Batch norms are trained too: there are no ImageNet weights to keep.
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
    matching_head=dict(type='GlobalMatching'),
    memory=dict(type='FrameBank', every=5, recent=1),
    in_channels=192,
    key_channels=64,
    loss=dict(type='CrossEntropy'),
    geometry=dict(divisor=16, sides='both'))

train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='MaskedClipDataset',
        source=dict(type='DAVIS', data_root='data/DAVIS', year='2016', split='train'),
        clips_per_video=20,
        pipeline=[
            dict(type='ResizeClip', size=(240, 432)),
            dict(type='RandomCropClip', size=(208, 368)),
            dict(type='RandomFlipClip'),
            dict(type='ChooseObjects', most=3),
            dict(type='PackClip'),
        ]))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2000, val_interval=10**9)
optim_wrapper = dict(type='BF16OptimWrapper', optimizer=dict(type='Adam', lr=2e-4))
