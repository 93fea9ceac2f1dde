"""Registries of mmvos, children of MMEngine's: a config's `type` is looked up here first.

`locations` are imported on the first lookup, so `import mmvos` stays light. The registries without
locations hold nothing of ours; a Runner asks for them in the default scope.
"""
from mmengine import registry as engine
from mmengine.registry import Registry, build_model_from_cfg
from torch import nn


def build_part(cfg: dict | nn.Module, registry: Registry, default_args: dict | None = None
               ) -> nn.Module:
    """Build a part of a model from its config; a module that is built already stays as it is."""
    if isinstance(cfg, nn.Module):
        return cfg
    return build_model_from_cfg(cfg, registry, default_args)


def _child(parent: Registry, *locations: str, **kwargs) -> Registry:
    return Registry(parent.name, scope='mmvos', parent=parent, locations=list(locations), **kwargs)


# segmentors, backbones, matching heads, memory managers, motion estimators, losses
MODELS = _child(engine.MODELS, 'mmvos.models', build_func=build_part)
DATASETS = _child(engine.DATASETS, 'mmvos.datasets')
DATA_SAMPLERS = _child(engine.DATA_SAMPLERS, 'mmvos.datasets.samplers')
TRANSFORMS = _child(engine.TRANSFORMS, 'mmvos.datasets.transforms')
METRICS = _child(engine.METRICS, 'mmvos.evaluation.metrics')
HOOKS = _child(engine.HOOKS, 'mmvos.engine')
LOOPS = _child(engine.LOOPS, 'mmvos.engine')
OPTIM_WRAPPERS = _child(engine.OPTIM_WRAPPERS, 'mmvos.engine')
PARAM_SCHEDULERS = _child(engine.PARAM_SCHEDULERS, 'mmvos.engine')

EVALUATOR = _child(engine.EVALUATOR)
LOG_PROCESSORS = _child(engine.LOG_PROCESSORS)
OPTIM_WRAPPER_CONSTRUCTORS = _child(engine.OPTIM_WRAPPER_CONSTRUCTORS)
OPTIMIZERS = _child(engine.OPTIMIZERS)
RUNNERS = _child(engine.RUNNERS)
VISBACKENDS = _child(engine.VISBACKENDS)
VISUALIZERS = _child(engine.VISUALIZERS)
WEIGHT_INITIALIZERS = _child(engine.WEIGHT_INITIALIZERS)
