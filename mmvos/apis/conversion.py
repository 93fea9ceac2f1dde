"""What converters of released checkpoints share: reading, names, writing, command line."""
from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..compat import load_checkpoint_file
from ..io.files import atomic_write

State = dict[str, Tensor]


def renamed(state: Mapping[str, Tensor], table: Mapping[str, str], what: str,
            optional: Collection[str] = ()) -> State:
    """Give entries the names of a table.

    Args:
        state: Name -> tensor.
        table: Released name -> name in mmvos.
        what: What the state dict should be of, for the error.
        optional: Released names that may be absent.

    Raises:
        ValueError: Entries are missing, unknown or no tensors.
    """
    unknown = [key for key in state if key not in table]
    missing = [key for key in table if key not in state and key not in optional]
    plain = [key for key, value in state.items() if not isinstance(value, Tensor)]
    for problem, keys in (('unknown', unknown), ('missing', missing), ('not tensors', plain)):
        if keys:
            raise ValueError(f'expected the state dict of {what}, but {len(keys)} entries are '
                             f'{problem}, first {", ".join(keys[:3])}')
    return {table[key]: value for key, value in state.items()}


def convert_checkpoint(source: str | Path, target: str | Path, convert: Callable[[State], State],
                       keys: Collection[str] = ('state_dict',)) -> State:
    """Read `source`, write `target` when all is well, and return what was written.

    Args:
        source: Checkpoint of others.
        target: File to write.
        convert: Gives entries the names of mmvos.
        keys: Under one of which releases have the state dict, if it is not the whole file.

    Raises:
        FileNotFoundError: There is no `source`.
        ValueError: It is refused, or `convert` refuses it.
        InputError: `target` cannot be written.
    """
    state = load_checkpoint_file(source)
    for key in keys:
        if isinstance(state, dict) and key in state:
            state = state[key]
            break
    if not isinstance(state, dict):
        raise ValueError(f'{source} holds no dict of weights, neither as a whole nor under '
                         f'{" or ".join(map(repr, keys))}; give a released checkpoint')
    try:
        converted = convert(state)
    except ValueError as error:
        raise ValueError(f'{source}: {error}') from None
    # by way of memory: on a full disk torch.save itself raises a RuntimeError without a reason
    buffer = io.BytesIO()
    torch.save(dict(meta=dict(converted_from=Path(source).name), state_dict=converted), buffer)
    atomic_write(target, buffer.getvalue())
    return converted


def conversion_command(description: str, convert_file: Callable[[str, str], State]) -> None:
    """The command line IN OUT of a converter."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('source', metavar='IN', help='released checkpoint (.pt or .pth)')
    parser.add_argument('target', metavar='OUT', help='file to write')
    args = parser.parse_args()
    state = convert_file(args.source, args.target)
    print(f'{args.target}: {len(state)} entries, {sum(v.numel() for v in state.values()):,} values')
