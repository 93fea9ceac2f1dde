"""Which contracts a registered class has to keep, and all registered classes.

A plugin's whole suite is one line of a test file, beside its import::

    test_contracts = contracts('my_plugin')
"""
from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable

from mmcv.transforms import BaseTransform
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import Registry

from .. import registry as nodes
from ..datasets.base import VideoDataset
from ..datasets.clip_dataset import Clips
from ..models import FrameMemory, MemoryManager, MotionEstimator, Refiner, VideoSegmentor
from .component_contracts import (
    check_appearance,
    check_backbone,
    check_co_attention,
    check_decode_head,
    check_frame_memory,
    check_global_matching,
    check_local_matching,
    check_loss_module,
    check_memory,
    check_motion,
    check_object_heads,
    check_postprocessor,
    check_refiner,
    check_stream_backbone,
)
from .construction_contracts import check_arguments, check_example, check_slots
from .data_contracts import (
    check_clip_dataset,
    check_data_preprocessor,
    check_hook,
    check_metric,
    check_transform,
    check_video_dataset,
)
from .segmentor_contracts import SEGMENTOR, ZERO_SHOT

Check = Callable[[type], None]

BY_BASE: dict[type, tuple[Check, ...]] = {
    VideoSegmentor: SEGMENTOR,
    FrameMemory: (check_memory, check_frame_memory),  # before its base
    MemoryManager: (check_memory,),
    MotionEstimator: (check_motion,),
    Refiner: (check_refiner,),
    BaseDataPreprocessor: (check_data_preprocessor,),
    BaseTransform: (check_transform,),
    VideoDataset: (check_video_dataset,),
    Clips: (check_clip_dataset,),
    BaseMetric: (check_metric,),
    Hook: (check_hook,),
}
# roles that have no base class are told by the names of `forward`'s arguments
BY_FORWARD: dict[tuple[str, ...], tuple[Check, ...]] = {
    ('x',): (check_backbone,),
    ('test', 'references', 'objects', 'valid'): (check_stream_backbone,),
    ('query', 'keys', 'values', 'offset'): (check_local_matching,),
    ('query', 'keys', 'values', 'valid'): (check_global_matching,),
    ('target', 'references'): (check_co_attention,),
    ('pred', 'target'): (check_loss_module,),
    ('readout', 'value', 'skips'): (check_decode_head,),
    ('features', 'mean', 'var'): (check_appearance,),
    ('hidden',): (check_object_heads,),
    ('image', 'probs'): (check_postprocessor,),
}


def registered(scope: str = 'mmvos') -> dict[str, type]:
    """Every class of a scope, by its name in a config.

    Args:
        scope: 'mmvos', or the scope of a plugin's own registries.
    """
    found: dict[str, type] = {}
    for node in vars(nodes).values():
        if isinstance(node, Registry) and node.scope == 'mmvos':
            child = node if scope == 'mmvos' else node.children.get(scope)
            if child is not None:
                child.import_from_location()
                found |= child.module_dict
    return found


def role_contracts(cls: type) -> tuple[Check, ...]:
    """The contracts of the part that a class plays.

    Raises:
        TypeError: The class plays none that is known.
    """
    if issubclass(cls, VideoSegmentor) and not cls.needs_mask:
        return ZERO_SHOT
    for base, checks in BY_BASE.items():
        if issubclass(cls, base):
            return checks
    names = tuple(inspect.signature(cls.forward).parameters)[1:] if hasattr(cls, 'forward') else ()
    if names not in BY_FORWARD:
        roles = [base.__name__ for base in BY_BASE] + [f'forward{n}' for n in BY_FORWARD]
        raise TypeError(f'{cls.__name__} plays no known part: expected one of {", ".join(roles)}, '
                        f'got forward{names}; derive from a base or name the arguments so')
    return BY_FORWARD[names]


def contracts_of(cls: type) -> list[Check]:
    """All contracts of a registered class that has an `example`."""
    return [check_arguments, check_example, check_slots, *role_contracts(cls)]


def contracts(scope: str, without_example: Iterable[str] = ()) -> Callable[[type, Check], None]:
    """A test for pytest: every class of a scope keeps every contract of its part.

    Args:
        scope: See `registered`; the package has been imported.
        without_example: Names of classes that need files or other objects to be built; they have
            `example = None` and keep the rules of constructors only.

    Raises:
        ValueError: Nothing is registered in the scope, or a name is not.
    """
    import pytest  # here: a plugin's users need no pytest

    classes, without = registered(scope), set(without_example)
    if not classes:
        raise ValueError(f'no class is registered in the scope {scope!r}; import the package '
                         'first, and give the scope of its registries')
    if unknown := without - classes.keys():
        raise ValueError(f'{sorted(unknown)} of without_example are not registered in the scope '
                         f'{scope!r}; leave them out')
    cases = [(cls, check) for name, cls in sorted(classes.items())
             for check in ([check_arguments] if name in without else contracts_of(cls))]

    @pytest.mark.parametrize(('cls', 'check'), cases,
                             ids=lambda value: value.__name__.removeprefix('check_'))
    def test(cls: type, check: Check) -> None:
        check(cls)

    return test
