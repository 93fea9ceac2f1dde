"""Values of a memory read where its keys look like the query: fused local attention."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from . import library
from .backends import accumulator, choose, wants_gradient, without_autocast
from .reference import TILE, grid_rows, sample, tiles_to_rows, window_logits, window_steps

OUT_OF_RANGE = ('zero_logit', 'mask')
MAX_RADIUS = 60  # what every instruction set has room for


def local_propagation(query: Tensor, keys: Tensor, values: Tensor, radius: int,
                      topk: int | None = None, scale: float = 1.,
                      out_of_range: str = 'zero_logit', offset: Tensor | None = None, *,
                      backend: str | None = None) -> Tensor:
    """Softmax-weighted sum of values over the windows of all references at once.

    The logit of a candidate is scale * <query, key>; with `topk` the k largest logits **jointly
    over all references** enter the softmax (MAMP eqs. 1-2 and "Motion-aware Spatio-temporal
    Matching"). The volume of logits never exists. Of equal logits at rank k any may be taken, the
    same in every run and for every number of threads; backends may differ.

    A cell that meets a logit of NaN or +Inf comes out NaN, others are untouched; a logit of -Inf
    has no weight, and where all are -Inf the cell is NaN.

    Differentiable in query, keys and values, once in the libraries, and with `topk` or `offset` by
    backend 'torch' only; the gradient of `offset` is not computed.

    Args:
        query: (B,C,h,w) float32, float64, bfloat16 or float16.
        keys: (B,C,T,h,w), the same type and device.
        values: (B,K,T,h,w) of any floating type.
        radius: R in cells; a window has (2R+1)^2 positions.
        topk: k, or None for all candidates.
        scale: Above 0.
        out_of_range: 'zero_logit': outside the map keys and values are zero, so the logit is 0 and
            takes its share, as in released MAST and MAMP; 'mask': no candidates outside the map,
            and a cell without any is 0.
        offset: (B,T,2,h,w) in cells, x first: cell p looks around p + offset, bilinear between
            cells (MAST's windows).
        backend: 'torch', 'cpu' or 'cuda'; None takes the library of the device where it can.

    Returns:
        (B,K,h,w) float32, or float64 for float64, whatever autocast says.

    Raises:
        ValueError: Shapes or options that do not fit, or a backend that can't.
    """
    _check(query, keys, values, radius, topk, scale, out_of_range, offset)
    num_candidates = keys.shape[2] * (2 * radius + 1)**2
    topk = 0 if topk is None or topk >= num_candidates else topk
    cannot = None
    if (topk or offset is not None) and wants_gradient(query, keys, values):
        cannot = "gradients with topk or offset need backend='torch'"
    elif radius > MAX_RADIUS:
        cannot = f"a radius above {MAX_RADIUS} needs backend='torch'"
    backend = choose('local_propagation', backend, query, cannot=cannot)
    values = values.to(accumulator(query.dtype))
    if offset is not None:
        offset = offset.detach().to(accumulator(query.dtype))
    mask = out_of_range == 'mask'
    if backend == 'torch':
        return _torch(query, keys, values, offset, radius, topk, scale, mask)
    out: Tensor = _library(query, keys, values, offset, radius, topk, float(scale), mask)[0]
    return out


def _check(query: Tensor, keys: Tensor, values: Tensor, radius: int, topk: int | None,
           scale: float, out_of_range: str, offset: Tensor | None) -> None:
    shape = tuple(query.shape)
    if query.dim() != 4 or keys.dim() != 5 or keys.shape[:2] + keys.shape[3:] != shape:
        raise ValueError('local_propagation: expected query (B,C,h,w) and keys (B,C,T,h,w), got '
                         f'{shape} and {tuple(keys.shape)}')
    if values.dim() != 5 or values.shape[:1] + values.shape[2:] != keys.shape[:1] + keys.shape[2:]:
        raise ValueError('local_propagation: expected values (B,K,T,h,w) beside keys '
                         f'{tuple(keys.shape)}, got {tuple(values.shape)}')
    if not keys.shape[2]:
        raise ValueError('local_propagation: expected one reference or more, got keys '
                         f'{tuple(keys.shape)}')
    if query.dtype != keys.dtype or not query.is_floating_point():
        raise ValueError('local_propagation: query and keys should have one floating type, got '
                         f'{query.dtype} and {keys.dtype}')
    if len({x.device for x in (query, keys, values)}) > 1:
        raise ValueError('local_propagation: query, keys and values should be on one device, got '
                         f'{query.device}, {keys.device} and {values.device}')
    if radius < 0 or (topk is not None and topk < 1) or not scale > 0:
        raise ValueError('local_propagation: expected radius >= 0, topk >= 1 or None and '
                         f'scale > 0, got {radius}, {topk} and {scale}')
    if out_of_range not in OUT_OF_RANGE:
        raise ValueError(f'local_propagation: out_of_range should be one of {OUT_OF_RANGE}, '
                         f'got {out_of_range!r}')
    expected = (query.shape[0], keys.shape[2], 2, *query.shape[2:])
    if offset is not None and offset.shape != expected:
        raise ValueError(f'local_propagation: offset should be {expected}, '
                         f'got {tuple(offset.shape)}')


# ---- in PyTorch


def _torch(query: Tensor, keys: Tensor, values: Tensor, offset: Tensor | None, radius: int,
           topk: int, scale: float, mask: bool) -> Tensor:
    with without_autocast(query):
        query, keys = (x.to(accumulator(x.dtype)) for x in (query, keys))
        if not values.numel():
            return query.sum() + keys.sum() + values.sum() + query.new_zeros(
                values.shape[0], values.shape[1], *query.shape[2:])
        if offset is not None:
            return _with_offset(query * scale, keys, values, offset, radius, topk, mask)
        return _on_grid(query * scale, keys, values, radius, topk, mask)


def _on_grid(query: Tensor, keys: Tensor, values: Tensor, radius: int, topk: int,
             mask: bool) -> Tensor:
    (height, width), (ty, _), r = query.shape[2:], TILE, radius
    values = F.pad(values, (r, r, r, r))
    ones = torch.ones_like(query[:1, :1]), torch.ones_like(keys[:1, :1, :1])
    inside_rows = window_logits(*ones, radius) if mask else None  # products with ones: not 0
    rows = []
    for i, logits in enumerate(window_logits(query, keys, radius)):
        if inside_rows is not None:
            logits = logits.masked_fill(next(inside_rows) == 0, -torch.inf)
        logits = tiles_to_rows(logits.flatten(4), width)[:, :height - i * ty]  # B,ty,w,T*P*P
        below = i * ty + logits.shape[1] + 2 * r
        rows.append(_read(logits, values[..., i * ty:below, :], radius, topk))
    return torch.cat(rows, 2)


def _read(logits: Tensor, values: Tensor, radius: int, topk: int) -> Tensor:
    """Softmax of (B,ty,w,T*P*P) over values (B,K,T,ty+2R,w+2R): (B,K,ty,w)."""
    side = 2 * radius + 1
    if not topk:
        windows = values.unfold(3, side, 1).unfold(4, side, 1)  # B,K,T,ty,w,P,P
        windows = windows.permute(0, 3, 4, 1, 2, 5, 6).flatten(4)  # B,ty,w,K,T*P*P
        out = torch.matmul(windows, logits.softmax(-1)[..., None])[..., 0]
        return out.permute(0, 3, 1, 2)
    top, candidate = logits.topk(topk, -1)
    rows, columns = values.shape[3:]
    y = torch.arange(logits.shape[1], device=values.device)[:, None, None]
    x = torch.arange(logits.shape[2], device=values.device)[:, None]
    ref, dy, dx = candidate // side**2, candidate // side % side, candidate % side
    position = (ref * rows + y + dy) * columns + x + dx  # B,ty,w,k into T*rows*columns
    flat = values.flatten(2)
    picked = flat.gather(2, position.flatten(1)[:, None].expand(-1, flat.shape[1], -1))
    return (picked.unflatten(2, position.shape[1:]) * top.softmax(-1)[:, None]).sum(-1)


def _with_offset(query: Tensor, keys: Tensor, values: Tensor, offset: Tensor, radius: int,
                 topk: int, mask: bool) -> Tensor:
    """Row by row, a window of samples for every cell and reference."""
    dx, dy = window_steps(radius, query)
    height, width = query.shape[2:]
    rows = []
    for y, columns in grid_rows(query):
        logits, read, found = [], [], torch.zeros_like(query[:, 0, y], dtype=torch.bool)
        for t in range(keys.shape[2]):
            px = columns[:, None] + offset[:, t, 0, y, :, None] + dx  # B,w,P*P
            py = y + offset[:, t, 1, y, :, None] + dy
            here = torch.einsum('bcw,bcwp->bwp', query[:, :, y], sample(keys[:, :, t], px, py))
            inside = (px >= 0) & (px <= width - 1) & (py >= 0) & (py <= height - 1) | (not mask)
            found |= inside.any(-1)
            logits.append(here.masked_fill(~inside, -torch.inf))
            read.append(sample(values[:, :, t], px, py))
        rows.append(_read_samples(torch.cat(logits, -1), torch.cat(read, -1), topk, found))
    return torch.stack(rows, 2)


def _read_samples(logits: Tensor, values: Tensor, topk: int, found: Tensor) -> Tensor:
    """Softmax of (B,w,N) over values (B,K,w,N): (B,K,w), 0 where nothing was `found` (B,w)."""
    if topk:
        logits, candidate = logits.topk(topk, -1)
        values = values.gather(3, candidate[:, None].expand(-1, values.shape[1], -1, -1))
    logits = torch.where(found[..., None], logits, 0)  # an empty softmax would be NaN
    return (values * (logits.softmax(-1) * found[..., None])[:, None]).sum(-1)


# ---- compiled


@torch.library.custom_op(
    'mmvos::local_propagation', mutates_args=(), device_types=('cpu', 'cuda'),
    schema='(Tensor query, Tensor keys, Tensor values, Tensor? offset, int radius, int topk, '
           'float scale, bool mask) -> (Tensor, Tensor)')
def _library(query, keys, values, offset, radius, topk, scale, mask):
    """The result and (B,h,w) the logarithm of the sum in each softmax."""
    out = _empty(query, keys, values, offset, radius, topk, scale, mask)
    library.call(query.device.type, 'mmvos_local_propagation', query, keys, values, offset, *out,
                 radius, topk, scale, int(mask))
    return out


@_library.register_fake
def _empty(query, keys, values, offset, radius, topk, scale, mask):
    batch, _, height, width = query.shape
    return (values.new_empty((batch, values.shape[1], height, width)),
            values.new_empty((batch, height, width)))


@torch.library.custom_op(
    'mmvos::local_propagation_backward', mutates_args=(), device_types=('cpu', 'cuda'),
    schema='(Tensor grad, Tensor query, Tensor keys, Tensor values, Tensor out, Tensor lse, '
           'int radius, float scale) -> (Tensor, Tensor, Tensor)')
def _library_backward(grad, query, keys, values, out, lse, radius, scale):
    grads = _empty_backward(grad, query, keys, values, out, lse, radius, scale)
    library.call(query.device.type, 'mmvos_local_propagation_backward', grad.contiguous(), query,
                 keys, values, out, lse, *grads, radius, scale)
    return grads


@_library_backward.register_fake
def _empty_backward(grad, query, keys, values, out, lse, radius, scale):
    return tuple(x.new_empty(x.shape, dtype=values.dtype) for x in (query, keys, values))


def _save(ctx, inputs, output):
    query, keys, values, offset, ctx.radius, topk, ctx.scale, _ = inputs
    assert topk == 0, 'the front leaves these to PyTorch'
    assert offset is None, 'the front leaves these to PyTorch'
    ctx.save_for_backward(query, keys, values, *output)


def _grad(ctx, grad, grad_lse):
    query, keys, values, out, lse = ctx.saved_tensors
    grads = _library_backward(grad, query, keys, values, out, lse, ctx.radius, ctx.scale)
    types = query.dtype, keys.dtype, values.dtype
    return *(g.to(t) for g, t in zip(grads, types, strict=True)), *(None,) * 5


_library.register_autograd(_grad, setup_context=_save)
