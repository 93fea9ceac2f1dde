"""Which implementation of an op runs."""
from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from . import library

# Device and date on which tests/ops passed there. None: the CUDA library has to be forced.
CUDA_VERIFIED: str | None = None
TYPES = {'cpu': (torch.float32, torch.float64, torch.bfloat16),
         'cuda': (torch.float32, torch.bfloat16, torch.float16)}


def choose(op: str, backend: str | None, x: Tensor, *, cannot: str | None = None,
           libraries: tuple[str, ...] = ('cpu', 'cuda'), others: tuple[str, ...] = ()) -> str:
    """The backend that a call runs on.

    Args:
        op: Name of the op, for messages.
        backend: What the caller asked for; None: the library of the device of `x` if it can,
            else 'torch'.
        x: The input that decides about device and type.
        cannot: Why no library can do this call, if so.
        libraries: Those that have this op.
        others: Further backends of this op; they check for themselves.

    Raises:
        ValueError: The backend that was asked for does not exist or can't do it.
    """
    if backend == 'torch' or backend in others:
        return str(backend)
    if backend is None:
        name = x.device.type
        wanted = name in libraries and (name == 'cpu' or CUDA_VERIFIED is not None)
        usable = wanted and cannot is None and x.dtype in TYPES[name]
        return name if usable and _missing(name, warn=True) is None else 'torch'
    known = ('torch', *libraries, *others)
    if backend not in libraries:
        raise ValueError(f"{op}: backend should be None or one of {', '.join(known)}, "
                         f'got {backend!r}')
    reason = cannot or _unfit(backend, x) or _missing(backend, warn=False)
    if reason is not None:
        raise ValueError(f"{op}: backend={backend!r} can't be used: {reason}; leave backend=None, "
                         'or see `python -m mmvos.ops`')
    return backend


def only_torch(op: str, backend: str | None) -> None:
    """Refuse every backend but 'torch', for ops that have no other."""
    if backend not in (None, 'torch'):
        raise ValueError(f"{op}: there is only backend='torch', got {backend!r}")


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """The type that sums over inputs of `dtype` have."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def widened(x: Tensor) -> Tensor:
    """`x` in the type of its sums: half precision becomes float32."""
    return x.to(accumulator(x.dtype))


def flushed_softmax(logits: Tensor, dim: int) -> Tensor:
    """Softmax in float32 or wider with subnormal shares taken for 0.

    They change no sum, but processors take about a hundred times as long over a product with them.
    """
    return F.threshold(logits.softmax(dim), torch.finfo(logits.dtype).tiny, 0.)


def without_autocast(x: Tensor) -> AbstractContextManager[object]:
    """Autocast off for the device of `x`; 'meta' has none."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def wants_gradient(*tensors: Tensor | None) -> bool:
    """Whether autograd will ask for a gradient of one of them."""
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors)


def _unfit(backend: str, x: Tensor) -> str | None:
    if x.device.type != backend:
        return f'the tensors are on {x.device.type!r}'
    if x.dtype not in TYPES[backend]:
        names = ', '.join(str(dtype).removeprefix('torch.') for dtype in TYPES[backend])
        return f'it takes {names}, got {str(x.dtype).removeprefix("torch.")}'
    return None


def _missing(name: str, warn: bool) -> str | None:
    reason = library.why_not(name)
    if reason is not None and warn:
        _warn(reason)
    return reason


# torch.compiler.assume_constant_result does just this, but imports the compiler: a second that
# every `import mmvos` would pay
_missing._dynamo_marked_constant = True  # type: ignore[attr-defined]


@lru_cache(maxsize=8)
def _warn(reason: str) -> None:
    warnings.warn(f'mmvos runs without its compiled ops, several times slower: {reason}; '
                  '`python -m mmvos.ops` tells more', stacklevel=5)
