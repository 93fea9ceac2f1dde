# The small COSNet on SyntheticVOS: nothing to download
_base_ = ['../_base_/datasets/synthetic.py', '../_base_/default_runtime.py']

model = dict(
    type='COSNet',
    features=dict(
        type='DeepLabFeatures',
        backbone=dict(
            type='mmseg.ResNet', depth=18, base_channels=24, stem_channels=24, num_stages=3,
            strides=(1, 2, 1), dilations=(1, 1, 2), out_indices=(2,)),
        in_channels=96,
        channels=64,
        out_channels=64),
    co_attention=dict(type='SymmetricCoAttention', channels=64),
    references=5,
    sampling='uniform',
    loss=dict(type='LossSum', losses=[
        dict(type='BalancedBCE'), dict(type='L1Loss')], weights=[1., 0.8]),
    static_loss=dict(type='LossSum', losses=[
        dict(type='BalancedBCE'), dict(type='L1Loss')], weights=[0.1, 0.08]),
    geometry=dict(size=(240, 416)))

test_evaluator = dict(protocol='davis2016-unsupervised')  # one object is found
