"""Which predicted object is which true one, and the loss of those that were told apart."""
from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ...ops.backends import widened

CANDIDATES = ('first_n', 'all')
INVALID = 10.  # cost of a pair that must not be; others cost 1 at most
EPS = 1e-6


def soft_iou(pred: Tensor, target: Tensor) -> Tensor:
    """sum(p y) / (sum p + sum y - sum(p y) + 1e-6) over the last two axes.

    The slides of RIS print a plus before the product; a perfect match would then score 1/3.

    Args:
        pred: (...,H,W) in [0,1].
        target: (...,H,W) in {0,1}.

    Returns:
        (...); 0 with zero gradient where the target is empty.
    """
    pred, target = widened(pred).flatten(-2), widened(target).flatten(-2)
    inside = (pred * target).sum(-1)
    return inside / (pred.sum(-1) + target.sum(-1) - inside + EPS)


def pairwise_soft_iou(pred: Tensor, target: Tensor) -> Tensor:
    """(B,P,G) `soft_iou` of every pair of pred (B,P,H,W) and target (B,G,H,W)."""
    pred, target = widened(pred).flatten(2), widened(target).flatten(2)
    inside = pred @ target.mT
    return inside / (pred.sum(2)[:, :, None] + target.sum(2)[:, None] - inside + EPS)


def soft_iou_of_slots(pred: Tensor, target: Tensor, slots: Tensor, counted: Tensor) -> Tensor:
    """Mean of 1 - soft IoU over the objects that count, each compared with its slot.

    Args:
        pred: (B,P,H,W) in [0,1].
        target: (B,G,H,W) in {0,1}.
        slots: (B,G) slot of each object, -1 for none.
        counted: (B,G) bool.

    Returns:
        Scalar; 0 where nothing counts.
    """
    index = slots.clamp_min(0)[:, :, None, None].expand(-1, -1, *pred.shape[2:])
    counted = counted & (slots >= 0)
    losses = (1 - soft_iou(pred.gather(1, index), target)) * counted
    return losses.sum() / counted.sum().clamp_min(1)


class SetMatcher:
    """The assignment of objects to slots with the least sum of 1 - soft IoU.

    Args:
        match_candidates: 'first_n' allows only the first n slots for n objects (RIS, and RVOS as
            released): the network has to find objects first. 'all' allows every slot (as the
            text of RVOS may be read).
    """

    def __init__(self, match_candidates: str = 'first_n') -> None:
        if match_candidates not in CANDIDATES:
            raise ValueError(f'match_candidates should be one of {CANDIDATES}, got '
                             f'{match_candidates!r}')
        self.candidates = match_candidates

    def cost(self, pred: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """(B,P,G) of each pair, `INVALID` where it must not be; see `__call__`."""
        cost = 1 - pairwise_soft_iou(pred, target)
        allowed = valid[:, None].expand_as(cost)
        if self.candidates == 'first_n':
            first = torch.arange(pred.shape[1], device=pred.device) < valid.sum(1, keepdim=True)
            allowed = allowed & first[:, :, None]
        return cost.masked_fill(~allowed, INVALID)

    @torch.no_grad()
    def __call__(self, pred: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """Slot of each object.

        Args:
            pred: (B,P,H,W) in [0,1].
            target: (B,G,H,W) in {0,1}; more objects than slots are allowed, and some get none.
            valid: (B,G) bool, False where there is no object.

        Returns:
            (B,G) long, -1 for an object without slot.
        """
        cost = self.cost(pred, target, valid).cpu().numpy()
        found = np.full((len(cost), target.shape[1]), -1)
        for slots, pairs in zip(found, cost, strict=True):
            rows, columns = linear_sum_assignment(pairs)
            kept = pairs[rows, columns] < INVALID
            slots[columns[kept]] = rows[kept]
        return torch.from_numpy(found).to(pred.device)
