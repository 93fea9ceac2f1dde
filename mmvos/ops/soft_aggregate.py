"""Objects that were segmented one by one, made to fit one another."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .backends import accumulator, only_torch

BG_MODES = ('product', 'min', 'object')
EPS = 1e-7


def soft_aggregate(probs: Tensor, bg_mode: str = 'product', valid: Tensor | None = None, *,
                   backend: str | None = None) -> Tensor:
    """Joint probabilities of background and objects: P_k = odds(e_k) / sum of all odds.

    e_k is the probability of object k, cut to [1e-7, 1 - 1e-7]; the background's e_0 is the
    product over objects of 1 - p ('product': STM, Oh et al. 2019, eq. 6), their minimum ('min':
    A-GAME, Johnander et al. 2019), or the first channel of `probs` ('object': AFB-URR, where the
    background is segmented like an object).

    Args:
        probs: (B,K,H,W) in [0,1]; (B,K+1,H,W) for 'object'.
        bg_mode: 'product', 'min' or 'object'.
        valid: (B,K) bool, False for channels that are no object of this sample; they come out 0
            and change nothing. None: all are.
        backend: None or 'torch'.

    Returns:
        (B,K+1,H,W) float32, or float64 for float64; sums to 1 over channels, 0 is background.

    Raises:
        ValueError: An unknown mode or backend, or shapes that do not fit.
    """
    only_torch('soft_aggregate', backend)
    return aggregate_logits(probs, bg_mode, valid).softmax(1)


def aggregate_logits(probs: Tensor, bg_mode: str = 'product',
                     valid: Tensor | None = None) -> Tensor:
    """Log odds whose softmax is `soft_aggregate`, minus infinity for channels that are no object.

    For what takes a softmax itself: the logarithm of the probabilities has no gradient where they
    are 0. Arguments, shape and errors are those of `soft_aggregate`.
    """
    if bg_mode not in BG_MODES:
        raise ValueError(f'soft_aggregate: bg_mode should be one of {BG_MODES}, got {bg_mode!r}')
    own = bg_mode == 'object'
    if probs.dim() != 4 or (own and not probs.shape[1]):
        raise ValueError('soft_aggregate: expected probs (B,K,H,W)'
                         f'{" with a background channel" if own else ""}, got {tuple(probs.shape)}')
    objects = probs[:, own:].to(accumulator(probs.dtype))
    if valid is None:
        valid = objects.new_ones(objects.shape[:2], dtype=torch.bool)
    if valid.shape != objects.shape[:2]:
        raise ValueError(f'soft_aggregate: valid should be {tuple(objects.shape[:2])} beside probs '
                         f'{tuple(probs.shape)}, got {tuple(valid.shape)}')
    ignored = ~valid[:, :, None, None]
    background = probs[:, :1].to(objects.dtype) if own else _background(
        1 - objects.masked_fill(ignored, 0), bg_mode)
    odds = torch.cat([background, objects], 1).clamp(EPS, 1 - EPS).logit()
    return odds.masked_fill(F.pad(ignored, (0, 0, 0, 0, 1, 0)), -torch.inf)


def _background(absent: Tensor, bg_mode: str) -> Tensor:
    """(B,1,H,W) from (B,K,H,W) probabilities that an object is not there; 1 without objects."""
    absent = F.pad(absent, (0, 0, 0, 0, 1, 0), value=1.)
    return absent.prod(1, keepdim=True) if bg_mode == 'product' else absent.amin(1, keepdim=True)
