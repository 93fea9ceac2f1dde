"""Ways 1 and 2: importing this module makes our classes known without the scope's prefix.

The entry point in setup.py names this module; a config may import it by `custom_imports`.
"""
from mmvos import registry as mmvos

from . import (
    BrightnessClip,
    ColorPropagation,
    CosineMatching,
    DoublingBank,
    SmallConvNet,
    SoftCrossEntropy,
)

for _part in (ColorPropagation, CosineMatching, DoublingBank, SmallConvNet, SoftCrossEntropy):
    mmvos.MODELS.register_module(module=_part)
mmvos.TRANSFORMS.register_module(module=BrightnessClip)
