"""Windows of a map in plain PyTorch, in bounded memory: what the compiled ops are checked against.

Everything here is differentiable and runs on every device and in float64.
"""
from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

TILE = (4, 16)  # query cells that share one block of keys: buffers stay inside the caches


def window_logits(query: Tensor, keys: Tensor, radius: int) -> Iterator[Tensor]:
    """Inner products of each cell with its window in every reference, row of tiles by row.

    Args:
        query: (B,C,h,w).
        keys: (B,C,T,h2,w2), zero outside.
        radius: R in cells.

    Yields:
        (B,n,4,16,T,P,P): n tiles of 4 rows and 16 columns, the last ones filled up with zeros.
    """
    (ty, tx), r = TILE, radius
    height, width = query.shape[-2:]
    below, right = -height % ty, -width % tx
    query = F.pad(query, (0, right, 0, below))
    # a negative pad cuts what no window reaches
    keys = F.pad(keys, (r, width + right + r - keys.shape[4],
                        r, height + below + r - keys.shape[3]))
    for y in range(0, height, ty):
        yield _windows(_correlate(query[:, :, y:y + ty], keys[..., y:y + ty + 2 * r, :], r), r)


def _correlate(query: Tensor, keys: Tensor, r: int) -> Tensor:
    """Every query of a tile with every key of its block: (B,n,ty*tx,T,ty+2R,tx+2R)."""
    ty, tx = TILE
    tiles = query.unflatten(3, (-1, tx)).permute(0, 3, 2, 4, 1).flatten(2, 3)
    blocks = keys.unfold(4, tx + 2 * r, tx).permute(0, 4, 1, 2, 3, 5).flatten(3)
    logits = torch.matmul(tiles, blocks)
    return logits.unflatten(-1, (keys.shape[2], ty + 2 * r, tx + 2 * r))


def _windows(logits: Tensor, r: int) -> Tensor:
    """Cut each query's own window out of its block."""
    (ty, tx), side = TILE, 2 * r + 1
    batch, tiles, _, num_refs = logits.shape[:4]
    s = logits.contiguous().stride()
    return logits.contiguous().as_strided(
        (batch, tiles, ty, tx, num_refs, side, side),
        (s[0], s[1], tx * s[2] + s[4], s[2] + s[5], s[3], s[4], s[5]))


def tiles_to_rows(x: Tensor, width: int) -> Tensor:
    """(B,n,ty,tx,...) to (B,ty,w,...)."""
    return x.transpose(1, 2).flatten(2, 3)[:, :, :width]


def window_steps(radius: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Steps (P*P,) along x and y from a centre to the positions of its window; dy is slower."""
    steps = torch.arange(-radius, radius + 1, device=like.device, dtype=like.dtype)
    side = len(steps)
    return steps.repeat(side), steps.repeat_interleave(side)


def sample(x: Tensor, px: Tensor, py: Tensor) -> Tensor:
    """Bilinear samples, zero outside.

    Args:
        x: (B,N,h,w).
        px: (B,...) columns; NaN and Inf are outside.
        py: (B,...) rows.

    Returns:
        (B,N,...).
    """
    height, width = x.shape[-2:]
    far = torch.full_like(px, -2.)
    near = (px.abs() < 2**24) & (py.abs() < 2**24)
    px, py = torch.where(near, px, far), torch.where(near, py, far)
    left, top = px.floor(), py.floor()
    flat, out = x.flatten(2), None
    for column, wx in ((left, 1 - (px - left)), (left + 1, px - left)):
        for row, wy in ((top, 1 - (py - top)), (top + 1, py - top)):
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            index = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).long()
            picked = flat.gather(2, index.flatten(1)[:, None].expand(-1, flat.shape[1], -1))
            picked = picked.unflatten(2, index.shape[1:])
            part = torch.where(inside[:, None], picked, 0) * (wx * wy)[:, None]
            out = part if out is None else out + part
    assert out is not None
    return out


def grid_rows(x: Tensor) -> Iterator[tuple[int, Tensor]]:
    """(y, columns (w,)) of each row of (..., h, w), in the type of x."""
    columns = torch.arange(x.shape[-1], device=x.device, dtype=x.dtype)
    for y in range(x.shape[-2]):
        yield y, columns
