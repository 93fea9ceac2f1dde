"""The one file that knows versions of the engine, torch and NumPy."""
import pickle
import re
import struct
from contextlib import nullcontext
from pathlib import Path

import torch
from mmengine.runner import checkpoint as engine_checkpoint

# What the restricted unpickler raises for forbidden, damaged and foreign files.
_REFUSED = (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, AttributeError, TypeError,
            ValueError, OverflowError, AssertionError, struct.error)


def safe_globals():
    """Context in which `torch.load(weights_only=True)` reads MMEngine's own training states."""
    allowed = getattr(engine_checkpoint, 'get_torch_safe_globals', None)
    if allowed is None:  # the original mmengine 0.10.7
        return nullcontext()
    return torch.serialization.safe_globals(allowed())


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
    """Make MMEngine read local checkpoints through `load_checkpoint_file`.

    Its own loader falls back to unrestricted unpickling, which runs whatever a file asks for.
    """
    engine_checkpoint.CheckpointLoader.register_scheme(
        prefixes='', loader=load_checkpoint_file, force=True)
