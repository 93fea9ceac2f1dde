"""Convert a released MAMP or MAST checkpoint, so that mmvos loads it.

Usage: python tools/model_converters/mamp_to_mmvos.py IN OUT

Released: https://github.com/bo-miao/MAMP and https://github.com/zlai0/MAST. Both save a dict whose
`state_dict` holds the encoder under `feature_extraction.` and the 3x3 projection under
`post_convolution.`; their numbered layers get the names of mmvos' `VOSResNet18`.
"""
from __future__ import annotations

import argparse
import io
from pathlib import Path

import torch
from torch import Tensor

from mmvos.apis import exit_with_message
from mmvos.compat import load_checkpoint_file
from mmvos.io.files import atomic_write

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
    plain = [key for key, value in state.items() if not isinstance(value, Tensor)]
    unknown = [key for key in state if key not in table]
    # the counters came with PyTorch 0.4.1 and nothing reads them in evaluation
    missing = [key for key in table if key not in state and not key.endswith('_tracked')]
    for what, keys in (('unknown', unknown), ('missing', missing), ('not tensors', plain)):
        if keys:
            raise ValueError(
                f'expected the state dict of a released MAMP or MAST checkpoint, but {len(keys)} '
                f'entries are {what}, first {", ".join(keys[:3])}')
    return {table[key]: value for key, value in state.items()}


def convert_file(source: str | Path, target: str | Path) -> dict[str, Tensor]:
    """Read `source`, write `target` when all is well, and return what was written.

    Raises:
        FileNotFoundError, ValueError: See `load_checkpoint_file` and `convert`.
        InputError: `target` cannot be written.
    """
    checkpoint = load_checkpoint_file(source)
    state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict):
        raise ValueError(
            f"{source} has no dict 'state_dict'; give a released MAMP or MAST checkpoint")
    try:
        converted = convert(state)
    except ValueError as error:
        raise ValueError(f'{source}: {error}') from None
    # by way of memory: on a full disk torch.save itself raises a RuntimeError without a reason
    buffer = io.BytesIO()
    torch.save(dict(meta=dict(converted_from=Path(source).name), state_dict=converted), buffer)
    atomic_write(target, buffer.getvalue())
    return converted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('source', metavar='IN', help='released checkpoint (.pt or .pth)')
    parser.add_argument('target', metavar='OUT', help='file to write, e.g. checkpoints/mamp.pth')
    args = parser.parse_args()
    state = convert_file(args.source, args.target)
    print(f'{args.target}: {len(state)} entries, {sum(v.numel() for v in state.values()):,} values')


if __name__ == '__main__':
    exit_with_message(main)
