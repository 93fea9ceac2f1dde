"""Losses between probabilities and one-hot masks.

All take pred (B,C,H,W), probabilities that sum to 1 over channels (0 is background), and target of
the same shape, one-hot.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from mmengine.logging import MessageHub
from torch import Tensor, nn

from ...ops.backends import widened
from ...registry import MODELS

EPS = 1e-7  # of areas
# Far below what `aggregate_logits` gives: a pixel that is surely wrong must keep its gradient.
LEAST = 1e-30
WEIGHTING = ('balanced', 'inverse_ratio', 'none')


def cross_entropy(pred: Tensor, target: Tensor, top_p: float = 1.) -> Tensor:
    """Mean of -log of the right channel's probability over the hardest share of the pixels.

    Args:
        pred: (B,C,H,W) probabilities.
        target: (B,C,H,W) one-hot.
        top_p: Share of each sample's pixels, those of the largest loss (bootstrapped cross entropy,
            0.4 for MUNet); 1 takes all.
    """
    check_pair(pred, target)
    losses = -(widened(pred).clamp_min(LEAST).log() * target).sum(1).flatten(1)
    if top_p < 1:
        losses = losses.topk(max(1, int(top_p * losses.shape[1])), 1, sorted=False).values
    return losses.mean()


def mask_iou_loss(pred: Tensor, target: Tensor) -> Tensor:
    """1 - sum of minima / sum of maxima, mean over objects (MUNet, eq. 4, second term)."""
    check_pair(pred, target)
    pred, target = pred[:, 1:].flatten(2), target[:, 1:].flatten(2)
    inside, union = torch.minimum(pred, target).sum(2), torch.maximum(pred, target).sum(2)
    return (1 - (inside + EPS) / (union + EPS)).mean()


def soft_iou_loss(pred: Tensor, target: Tensor) -> Tensor:
    """1 - sum(p y) / sum(p + y - p y), mean over objects."""
    check_pair(pred, target)
    pred, target = pred[:, 1:].flatten(2), target[:, 1:].flatten(2)
    inside = (pred * target).sum(2)
    return (1 - (inside + EPS) / (pred.sum(2) + target.sum(2) - inside + EPS)).mean()


def dice_loss(pred: Tensor, target: Tensor) -> Tensor:
    """1 - (2 sum(p y) + 1) / (sum p + sum y + 1), mean over objects."""
    check_pair(pred, target)
    pred, target = pred[:, 1:].flatten(2), target[:, 1:].flatten(2)
    return (1 - (2 * (pred * target).sum(2) + 1) / (pred.sum(2) + target.sum(2) + 1)).mean()


def l1_loss(pred: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference over objects and pixels."""
    check_pair(pred, target)
    return (pred[:, 1:] - target[:, 1:]).abs().mean()


def balanced_bce(pred: Tensor, target: Tensor, weighting: str = 'balanced') -> Tensor:
    """Binary cross entropy of each object, mean over objects and pixels.

    'balanced' weighs pixels of the object by the share of the others and the others by the object's
    share, in each sample (COSNet); 'inverse_ratio' divides the whole by the object's
    share of the batch (COSNet as released; a batch without an object counts as one with a single
    pixel of it); 'none' weighs nothing.

    Args:
        pred: (B,C,H,W) probabilities.
        target: (B,C,H,W) one-hot.
        weighting: One of these.
    """
    check_pair(pred, target)
    probs, target = widened(pred), target[:, 1:]
    pred, objects = probs[:, 1:], probs.shape[1] - 1
    # 1 - p as a sum of the others: the difference is 0, without gradient, where p is nearly 1
    others = (1 - torch.eye(objects, objects + 1, device=probs.device).roll(1, 1)).to(probs.dtype)
    rest = torch.einsum('bchw,kc->bkhw', probs, others)
    inside = -pred.clamp_min(LEAST).log() * target
    outside = -rest.clamp_min(LEAST).log() * (1 - target)
    if weighting == 'balanced':
        share = target.mean((2, 3), keepdim=True)
        inside, outside = (1 - share) * inside, share * outside
    loss = (inside + outside).mean()
    if weighting == 'inverse_ratio':
        loss = loss / target.mean().clamp_min(1 / target.numel())
    return loss


def check_pair(pred: Tensor, target: Tensor) -> None:
    """Raise ValueError unless both are (B,C,H,W) of one shape with an object."""
    if pred.shape != target.shape or pred.ndim != 4 or pred.shape[1] < 2:
        raise ValueError('pred and target should have one shape (B,K+1,H,W), K >= 1, got '
                         f'{tuple(pred.shape)} and {tuple(target.shape)}')


@MODELS.register_module()
class CrossEntropy(nn.Module):
    """Module of `cross_entropy`; the share of pixels may shrink while training goes on.

    Args:
        top_p: Share of the pixels.
        warm_up: (start, end), iterations of the runner: all pixels count before the first, `top_p`
            of them after the second, a share in proportion between (XMem and STMA: 0.15 and
            (20000, 70000)). None: `top_p` from the start, as for MUNet.
    """

    example = dict(top_p=0.4)

    def __init__(self, top_p: float = 1., *, warm_up: tuple[int, int] | None = None) -> None:
        super().__init__()
        if not 0 < top_p <= 1:
            raise ValueError(f'top_p should be a share, 0 < top_p <= 1, got {top_p}')
        if warm_up is not None and not 0 <= warm_up[0] < warm_up[1]:
            raise ValueError(f'expected warm_up=(start, end), 0 <= start < end, got {warm_up}')
        self.top_p = top_p
        self.warm_up = warm_up

    def share(self, iteration: int) -> float:
        """Return the share of the pixels that counts in an iteration."""
        if self.warm_up is None:
            return self.top_p
        start, end = self.warm_up
        done = min(1., max(0., (iteration - start) / (end - start)))
        return 1 + (self.top_p - 1) * done

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Scalar loss."""
        # the runner's own count: it is right after a resume, too
        iteration = MessageHub.get_current_instance().get_info('iter', 0)
        return cross_entropy(pred, target, self.share(iteration))


class _LossOfFunction(nn.Module):
    example: dict = {}
    function: Callable[[Tensor, Tensor], Tensor]

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Scalar loss."""
        return self.function(pred, target)


@MODELS.register_module()
class MaskIoULoss(_LossOfFunction):
    """Module of `mask_iou_loss`."""

    function = staticmethod(mask_iou_loss)


@MODELS.register_module()
class SoftIoULoss(_LossOfFunction):
    """Module of `soft_iou_loss`."""

    function = staticmethod(soft_iou_loss)


@MODELS.register_module()
class DiceLoss(_LossOfFunction):
    """Module of `dice_loss`."""

    function = staticmethod(dice_loss)


@MODELS.register_module()
class L1Loss(_LossOfFunction):
    """Module of `l1_loss`."""

    function = staticmethod(l1_loss)


@MODELS.register_module()
class BalancedBCE(nn.Module):
    """Module of `balanced_bce`."""

    example = dict(weighting='balanced')

    def __init__(self, weighting: str = 'balanced') -> None:
        super().__init__()
        if weighting not in WEIGHTING:
            raise ValueError(f'weighting should be one of {WEIGHTING}, got {weighting!r}')
        self.weighting = weighting

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Scalar loss."""
        return balanced_bce(pred, target, self.weighting)


@MODELS.register_module()
class LossSum(nn.Module):
    """Weighted sum of losses.

    Args:
        losses: Configs or modules.
        weights: One for each; all 1 if None.
    """

    example = dict(losses=[dict(type='CrossEntropy', top_p=0.4), dict(type='DiceLoss')])

    def __init__(self, losses: Sequence[dict | nn.Module], *,
                 weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.losses = nn.ModuleList(MODELS.build(loss) for loss in losses)
        self.weights = tuple(weights or [1.] * len(self.losses))
        if not self.losses or len(self.weights) != len(self.losses):
            raise ValueError(f'expected losses and one weight for each, got {len(self.losses)} '
                             f'losses and {len(self.weights)} weights')

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Scalar loss."""
        return torch.stack([weight * loss(pred, target) for weight, loss in
                            zip(self.weights, self.losses, strict=True)]).sum()
