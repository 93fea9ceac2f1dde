"""Convert a pre-trained MAE, MoCo-v3 or ConvMAE checkpoint, so that STMA's backbone loads it.

Usage: python tools/model_converters/mae_to_mmvos.py IN OUT

Released: https://github.com/facebookresearch/mae and https://github.com/facebookresearch/moco-v3
(ViT, for `ViTSTML`), https://github.com/Alpha-VL/ConvMAE (ConvViT, for `ConvViTSTML`). Decoders,
heads, the class token, the momentum encoder, and the maps of two stages that ConvMAE adds before
its last norm are left out. `ViTSTML` has two layers for finer
maps besides, which begin anew. The key map, where N counts blocks and what follows a name is its
entry:

    ViT       blocks.N.norm1, attn.qkv, attn.proj, norm2, mlp.fc1, mlp.fc2
           -> blocks.N.norm1, attn.qkv, attn.proj, norm2, mlp.0,   mlp.2
              patch_embed.proj -> patch_embed;  norm -> norm
              pos_embed (1,1+h*w,C) -> positions (1,C,h,w), without that of the class token
    ConvViT   patch_embed1, 2, 3 .proj, .norm -> patch_embed.0, 1, 2 .0, .1
              patch_embed4 -> last_embed;  blocks3.N -> blocks.N, as above;  norm -> norm
              blocks1, 2 .N.norm1, conv1, attn,  conv2, norm2, mlp.fc1, mlp.fc2
           -> stages.0, 1.N.mix.0, mix.1, mix.2, mix.3, mlp.0, mlp.1,   mlp.3
              pos_embed (1,h*w,C) -> positions (1,C,h,w)
"""
from __future__ import annotations

import math
import re
from pathlib import Path

from torch import Tensor

from mmvos.apis import exit_with_message
from mmvos.apis.conversion import conversion_command, convert_checkpoint, renamed

BLOCK = {'norm1': 'norm1', 'attn.qkv': 'attn.qkv', 'attn.proj': 'attn.proj', 'norm2': 'norm2',
         'mlp.fc1': 'mlp.0', 'mlp.fc2': 'mlp.2'}
CONV_BLOCK = {'norm1': 'mix.0', 'conv1': 'mix.1', 'attn': 'mix.2', 'conv2': 'mix.3',
              'norm2': 'mlp.0', 'mlp.fc1': 'mlp.1', 'mlp.fc2': 'mlp.3'}
# decoders, heads and tokens that nothing here reads
DROPPED = re.compile(r'cls_token|mask_token|decoder_|head\.|stage[12]_output_decode\.')
MOCO = 'module.base_encoder.'


def name_table(state: dict[str, Tensor]) -> dict[str, str]:
    """Released name -> name in mmvos, for as many blocks as there are."""
    layers = {'norm': 'norm'}
    if 'patch_embed4.weight' in state:
        layers['patch_embed4'] = 'last_embed'
        for n in range(3):
            layers[f'patch_embed{n + 1}.proj'] = f'patch_embed.{n}.0'
            layers[f'patch_embed{n + 1}.norm'] = f'patch_embed.{n}.1'
        kinds = (('blocks1.', 'stages.0.', CONV_BLOCK), ('blocks2.', 'stages.1.', CONV_BLOCK),
                 ('blocks3.', 'blocks.', BLOCK))
    else:
        layers['patch_embed.proj'] = 'patch_embed'
        kinds = (('blocks.', 'blocks.', BLOCK),)
    for old, new, parts in kinds:
        for n in sorted({key.split('.')[1] for key in state if key.startswith(old)}):
            layers |= {f'{old}{n}.{a}': f'{new}{n}.{b}' for a, b in parts.items()}
    table = {f'{old}.{entry}': f'{new}.{entry}' for old, new in layers.items()
             for entry in ('weight', 'bias')}
    return table | {'pos_embed': 'positions'}


def convert(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the entries of a pre-trained network.

    Args:
        state: Name -> tensor.

    Returns:
        State dict of the backbone; position embeddings are on a square grid.

    Raises:
        ValueError: Entries are missing, unknown or no tensors, or the grid is not square.
    """
    if any(key.startswith(MOCO) for key in state):
        state = {key.removeprefix(MOCO): value for key, value in state.items()
                 if key.startswith(MOCO)}
    has_class = 'cls_token' in state
    state = {key: value for key, value in state.items() if not DROPPED.match(key)}
    found = renamed(state, name_table(state), 'a pre-trained MAE, MoCo-v3 or ConvMAE checkpoint')
    positions = found['positions'][:, has_class:]
    side = math.isqrt(positions.shape[1])
    if side**2 != positions.shape[1]:
        raise ValueError('expected position embeddings of a square grid, got '
                         f'{positions.shape[1]}')
    found['positions'] = positions.mT.unflatten(2, (side, side)).contiguous()
    return found


def convert_file(source: str | Path, target: str | Path) -> dict[str, Tensor]:
    """Read `source`, write `target` and return what was written; see `convert_checkpoint`."""
    return convert_checkpoint(source, target, convert, ('model', 'state_dict'))


if __name__ == '__main__':
    exit_with_message(lambda: conversion_command(__doc__.splitlines()[0], convert_file))
