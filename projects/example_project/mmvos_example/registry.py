"""Way 3: registries of our own scope, children of those of mmvos.

`type='mmvos_example.ColorPropagation'` makes the engine import this module; `locations` then
import the classes. No other name can clash with ours.
"""
from mmengine.registry import Registry

from mmvos import registry as mmvos

MODELS = Registry('model', scope='mmvos_example', parent=mmvos.MODELS, locations=['mmvos_example'])
TRANSFORMS = Registry('transform', scope='mmvos_example', parent=mmvos.TRANSFORMS,
                      locations=['mmvos_example'])
