# Way 1, the entry point of setup.py: mmvos has imported mmvos_example.plain_names, so that the
# names need no prefix. Works wherever the package is installed by pip.
_base_ = ['color_propagation.py']

model = dict(
    type='ColorPropagation',
    backbone=dict(type='SmallConvNet'),
    matching_head=dict(type='CosineMatching'),
    memory=dict(type='DoublingBank'),
    loss=dict(type='SoftCrossEntropy'))

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='RandomCropClip', size=(96, 96)),
            dict(type='BrightnessClip', amount=0.2),
            dict(type='PackClip'),
        ]))
