# MUNet with a small ResNet-18, the displacement as printed: softmax of minus the similarity;
# from scratch on DAVIS-2016, for one small machine, as stm_r18_davis2016.py. First train
# munet_r18_faithful_still.py.
_base_ = ['../_base_/datasets/davis2016.py', '../_base_/default_runtime.py']

model = dict(
    type='MUNet',
    query_encoder=dict(
        type='mmseg.ResNet', depth=18, base_channels=32, stem_channels=32, num_stages=3,
        strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(0, 1, 2)),
    memory_encoder=dict(
        type='mmseg.ResNet', in_channels=4, depth=18, base_channels=32, stem_channels=32,
        num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,)),
    decoder=dict(
        type='RefineDecoder', skip_channels=(64, 32), value_channels=128, channels=64),
    matching_head=dict(type='GlobalMatching'),
    memory=dict(type='FrameBank', every=5, recent=1),
    in_channels=128,
    key_channels=64,
    radius=12,
    sign=-1,
    temperature=1.,
    loss=dict(type='LossSum', losses=[
        dict(type='CrossEntropy', top_p=0.4), dict(type='MaskIoULoss')]),
    geometry=dict(divisor=16, sides='both'))

load_from = 'work_dirs/munet_r18_faithful_still/iter_2500.pth'
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='ClipSampler'),
    dataset=dict(
        type='MaskedClipDataset',
        source=dict(type='DAVIS', data_root='data/DAVIS', year='2016', split='train'),
        max_skip=15,
        skip_every=1,
        clips_per_video=20,
        pipeline=[
            dict(type='CropAroundObject', size=(208, 368), scale=(0.9, 2.), jitter=60),
            dict(type='RandomFlipClip'),
            dict(type='PerFrame', transforms=[
                dict(type='RandomAffine', prob=0.5, rotate=10, shear=5, scale=(0.9, 1.1))]),
            dict(type='ColorJitter', brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1),
            dict(type='RandomGray', prob=0.05),
            dict(type='ChooseObjects'),
            dict(type='PackClip'),
        ]))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4500, val_interval=10**9)
optim_wrapper = dict(
    type='BF16OptimWrapper', optimizer=dict(type='AdamW', lr=4e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=10))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=200),
    dict(type='CosineAnnealingLR', eta_min=4e-6, by_epoch=False, begin=200, end=4500)]
