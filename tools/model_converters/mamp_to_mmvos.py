"""Convert a released MAMP or MAST checkpoint, so that mmvos loads it.

Usage: python tools/model_converters/mamp_to_mmvos.py IN OUT

Released: https://github.com/bo-miao/MAMP and https://github.com/zlai0/MAST. Both save a dict whose
`state_dict` holds the encoder under `feature_extraction.` and the 3x3 projection under
`post_convolution.`; their numbered layers get the names of mmvos' `VOSResNet18`.
"""
from __future__ import annotations

from pathlib import Path

from torch import Tensor

from mmvos.apis import exit_with_message
from mmvos.apis.conversion import conversion_command, convert_checkpoint, renamed

BATCH_NORM = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
# name in a block of the release -> (name in ours, is a batch norm)
BLOCK = {
    'left.0': ('conv1', False), 'left.1': ('bn1', True),
    'left.3': ('conv2', False), 'left.4': ('bn2', True),
}
SHORTCUT = {'shortcut.0': ('downsample.0', False), 'shortcut.1': ('downsample.1', True)}


def name_table() -> dict[str, str]:
    """Every name of the released network -> its name in mmvos."""
    layers = {'conv1.0': ('conv1', False), 'conv1.1': ('bn1', True)}
    for layer in range(1, 5):
        for block in range(2):
            # the first blocks of layers 2 and 3 change the number of channels
            parts = BLOCK | SHORTCUT if layer in (2, 3) and block == 0 else BLOCK
            for old, (new, norm) in parts.items():
                layers[f'layer{layer}.{block}.{old}'] = (f'layer{layer}.{block}.{new}', norm)
    table = {
        f'feature_extraction.{old}.{entry}': f'backbone.{new}.{entry}'
        for old, (new, norm) in layers.items() for entry in (BATCH_NORM if norm else ('weight',))
    }
    for entry in ('weight', 'bias'):
        table[f'post_convolution.{entry}'] = f'backbone.projection.{entry}'
    return table


def convert(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the entries of a released state dict, with or without the prefix `module.`.

    Args:
        state: Name -> tensor.

    Returns:
        State dict of mmvos' MAMP; the tensors are the given ones.

    Raises:
        ValueError: Entries are missing, unknown or no tensors.
    """
    state = {key.removeprefix('module.'): value for key, value in state.items()}
    table = name_table()
    # the counters came with PyTorch 0.4.1 and nothing reads them in evaluation
    counters = {key for key in table if key.endswith('_tracked')}
    return renamed(state, table, 'a released MAMP or MAST checkpoint', counters)


def convert_file(source: str | Path, target: str | Path) -> dict[str, Tensor]:
    """Read `source`, write `target` and return what was written; see `convert_checkpoint`."""
    return convert_checkpoint(source, target, convert)


if __name__ == '__main__':
    exit_with_message(lambda: conversion_command(__doc__.splitlines()[0], convert_file))
