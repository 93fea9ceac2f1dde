"""Weights from a file into a model, all of them or a clear refusal."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from ..compat import load_checkpoint_file
from ..models.motion_estimators import MotionEstimator
from ..models.segmentors import VideoSegmentor

_NAMED = 3  # keys of each kind that an error lists


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Copy the weights of a checkpoint into a model; each key has to match.

    float16 weights go into float32 parameters. A motion estimator brings weights of its own
    (`RAFT(checkpoint=...)`), so a checkpoint made with another estimator fits as well.

    Args:
        model: The model, already on its device.
        path: A state dict, or a dict with one under 'state_dict' (a training checkpoint).

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file holds more than tensors and plain values, or the weights of another
            architecture; the first keys that differ are named.
    """
    state = _state_dict(load_checkpoint_file(path), path)
    if isinstance(model, VideoSegmentor):
        state = model.adopted(state)
    expected = model.state_dict()
    for name, module in model.named_modules():
        if isinstance(module, MotionEstimator):
            _leave_out_one_sided(state, expected, f'{name}.')
    differences = _differences(state, expected)
    if differences:
        raise ValueError(f'checkpoint {path} is of another architecture than this '
                         f'{type(model).__name__}: {"; ".join(differences)}; '
                         'give the config that it was trained with')
    model.load_state_dict(state, strict=False)


def _state_dict(data: object, path: str | Path) -> dict[str, Tensor]:
    state = data.get('state_dict', data) if isinstance(data, Mapping) else data
    if not isinstance(state, Mapping) or not state or not all(
            isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()):
        raise ValueError(f'checkpoint {path} holds no weights: expected a dict of names and tensors'
                         ", or one under 'state_dict'; save it with "
                         'torch.save(model.state_dict(), path)')
    return dict(state)


def _leave_out_one_sided(state: dict[str, Tensor], expected: dict[str, Tensor],
                         prefix: str) -> None:
    """Drop the keys with this prefix where only one of the two has any."""
    ours = [key for key in expected if key.startswith(prefix)]
    theirs = [key for key in state if key.startswith(prefix)]
    if not (ours and theirs):
        for key in ours:
            del expected[key]
        for key in theirs:
            del state[key]


def _differences(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """'missing a, b', 'unexpected c', 'shape of d is (1, 2), expected (3,)'."""
    found = [_listed('missing', [key for key in expected if key not in state]),
             _listed('unexpected', [key for key in state if key not in expected])]
    for key, value in state.items():
        if key in expected and value.shape != expected[key].shape:
            found.append(f'shape of {key} is {tuple(value.shape)}, '
                         f'expected {tuple(expected[key].shape)}')
    kinds, shapes = [text for text in found[:2] if text], found[2:]
    more = [f'{len(shapes) - _NAMED} more shapes'] if len(shapes) > _NAMED else []
    return kinds + shapes[:_NAMED] + more


def _listed(word: str, keys: list[str]) -> str:
    more = f' and {len(keys) - _NAMED} more' if len(keys) > _NAMED else ''
    return f'{word} {", ".join(keys[:_NAMED])}{more}' if keys else ''
