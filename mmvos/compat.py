"""The one file that knows versions of the engine, torch and NumPy."""
import pickle
import re
import struct
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import checkpoint as engine_checkpoint

# What the restricted unpickler raises for forbidden, damaged and foreign files.
_REFUSED = (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, AttributeError, TypeError,
            ValueError, OverflowError, AssertionError, struct.error)
_DTYPES = ('bool', 'int32', 'int64', 'uint32', 'float32', 'float64')
_STATISTICS = ('min', 'max', 'current', 'mean')  # HistoryBuffer's own


def safe_globals():
    """Context in which `torch.load(weights_only=True)` reads MMEngine's own training states.

    They hold log histories. The list is ours: the original MMEngine has none, and that of the
    maintained one allows `getattr`, with which a file reaches `exec` despite `weights_only`.
    """
    reconstruct, scalar = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]
    allowed = [HistoryBuffer, np.ndarray, np.dtype, (_statistic, 'builtins.getattr')]
    for core in ('numpy._core', 'numpy.core'):  # as NumPy 2 and NumPy 1 write it
        allowed += [(reconstruct, f'{core}.multiarray._reconstruct'),
                    (scalar, f'{core}.multiarray.scalar')]
    allowed += [type(np.dtype(name)) for name in _DTYPES]
    return torch.serialization.safe_globals(allowed)


def _statistic(owner, name):
    """Stand for `getattr`, by which a pickle names the methods that a history keeps."""
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise pickle.UnpicklingError(f'GLOBAL builtins.getattr of {name!r} is not allowed')
    return getattr(HistoryBuffer, name)


def load_checkpoint_file(path, map_location='cpu') -> dict:
    """Read a checkpoint that holds nothing but tensors and plain values.

    Args:
        path: File written by `torch.save`.
        map_location: As for `torch.load`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file holds other objects (unpickling them could run code) or is damaged.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist; give the path of a .pth file')
    try:
        with safe_globals():
            return torch.load(path, map_location=map_location, weights_only=True)
    except _REFUSED as error:
        # PyTorch's own text advises to load the file without protection.
        asked = re.search(r'GLOBAL (\S+)', str(error))
        reason = (f'it asks to run or build {asked[1]}, expected tensors and plain values only'
                  if asked else 'it is damaged or no checkpoint')
        raise ValueError(
            f'checkpoint {path} was refused: {reason}; ask its author for a state dict saved with '
            'torch.save(model.state_dict(), path)') from None


def register_safe_loader() -> None:
    """Make MMEngine read local checkpoints through `load_checkpoint_file` and refuse remote ones.

    Its own loaders fall back to unrestricted unpickling, which runs whatever a file asks for.
    """
    loader = engine_checkpoint.CheckpointLoader
    for prefix in [prefix for prefix in loader._schemes if prefix]:
        loader.register_scheme(prefixes=prefix, loader=_refuse_remote, force=True)
    loader.register_scheme(prefixes='', loader=load_checkpoint_file, force=True)


def _refuse_remote(path, map_location=None):
    raise ValueError(f'checkpoint {path} is not a local file; download it and give its path')
