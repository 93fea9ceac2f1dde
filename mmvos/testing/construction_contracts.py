"""What holds for the constructor of every registered class: arguments, `example`, slots."""
from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from mmengine.registry import DefaultScope
from torch import nn

from ..registry import MODELS

MAX_ARGUMENTS, MAX_POSITIONAL = 8, 2


def build(cls: type, **changes: Any) -> Any:
    """A tiny instance, from the class's `example`, with the same random weights every time.

    Args:
        cls: A registered class.
        **changes: Constructor arguments that replace those of the example.

    Raises:
        TypeError: The class has no `example`, or one that is no dict.
    """
    example = getattr(cls, 'example', None)
    if not isinstance(example, dict):
        raise TypeError(f'{cls.__name__} needs a class attribute `example`, a dict of constructor '
                        f'arguments of a tiny instance, got {example!r}')
    with DefaultScope.overwrite_default_scope('mmvos'), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        instance = cls(**{**copy.deepcopy(example), **changes})
        if hasattr(instance, 'init_weights'):
            instance.init_weights()
    return instance.eval() if isinstance(instance, nn.Module) else instance


def check_arguments(cls: type) -> None:
    """At most eight constructor arguments, keyword-only after the second.

    Not counted: `data_preprocessor`, `init_cfg`, what goes on to a base class by `**kwargs`, and
    constructors that the class has from another package.
    """
    home = getattr(cls.__init__, '__module__', '').partition('.')[0]
    if home != cls.__module__.partition('.')[0]:
        return
    given = list(inspect.signature(cls.__init__).parameters.values())[1:]
    named = [p for p in given if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    counted = [p.name for p in named if p.name not in ('data_preprocessor', 'init_cfg')]
    assert len(counted) <= MAX_ARGUMENTS, f'{len(counted)} arguments: {", ".join(counted)}'
    positional = [p.name for p in named if p.kind is not p.KEYWORD_ONLY]
    assert len(positional) <= MAX_POSITIONAL, f'not keyword-only: {", ".join(positional[2:])}'


def check_example(cls: type) -> None:
    """The example builds, and building changes nothing in it."""
    before = copy.deepcopy(cls.example)
    arguments = copy.deepcopy(cls.example)
    build(cls, **arguments)
    assert arguments == before, f'the constructor changed its arguments: {arguments} != {before}'


def check_slots(cls: type) -> None:
    """A slot that takes the config of a module takes the module too, and uses it itself."""
    for name, value in cls.example.items():
        if not (isinstance(value, dict) and 'type' in value):
            continue
        with DefaultScope.overwrite_default_scope('mmvos'):
            try:
                part = MODELS.build(copy.deepcopy(value))
            except KeyError:  # a dataset or a transform, say
                continue
        if isinstance(part, nn.Module):
            whole = build(cls, **{name: part})
            assert any(module is part for module in whole.modules()), f'{name} was not kept'
