"""What RSIS says of an object besides its mask: whether it is one, its class, its box."""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...ops.backends import widened
from ...registry import MODELS


@MODELS.register_module()
class ObjectHeads(nn.Module):
    """Linear layers over the largest values of an object's hidden maps.

    The stop score is that of RIS and RSIS: in training two more objects than there are should be
    refused; at test time the first that scores below 0.5 ends the list. The class is that of RSIS.
    A box loss is named by RSIS, its released code has none: the one here, the mean absolute
    difference of corners as shares of the frame, is ours.

    Args:
        in_channels: Sum of the channels of all hidden maps.
        num_classes: None for no class. No dataset of this package gives classes: a data sample
            needs `gt_classes` (n,) long, that of id 1 first.
        box: Whether boxes are predicted.
        weights: Of the losses of stop, class and box.
    """

    example = dict(in_channels=12, num_classes=3, box=True)
    beyond = 2  # slots in training after the last object, which learn to stop

    def __init__(self, in_channels: int, *, num_classes: int | None = None, box: bool = False,
                 weights: tuple[float, float, float] = (0.5, 0.1, 1.)) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.weights = dict(zip(('stop', 'class', 'box'), weights, strict=True))
        sizes = dict({'stop': 1}, **{'class': num_classes or 0}, box=4 if box else 0)
        self.linear = nn.ModuleDict({name: nn.Linear(in_channels, size)
                                     for name, size in sizes.items() if size})

    def forward(self, hidden: Sequence[Tensor]) -> dict[str, Tensor]:
        """Of hidden maps (N,C,h,w), one per level.

        Returns:
            'stop' (N,1) logits, where above 0 says that there is an object; 'class' (N,classes)
            logits; 'box' (N,4) logits of left, top, right, bottom as shares of the frame.
        """
        pooled = torch.cat([x.flatten(2).amax(2) for x in hidden], 1)
        return {name: widened(linear(pooled)) for name, linear in self.linear.items()}

    def going(self, hidden: Sequence[Tensor]) -> Tensor:
        """(B,K) bool of hidden maps (B,K,C,h,w): False from the first slot that says stop."""
        batch = hidden[0].shape[:2]
        stop = self([x.flatten(0, 1) for x in hidden])['stop'].unflatten(0, batch)[..., 0]
        return (stop > 0).long().cumprod(1).bool()

    def losses(self, hidden: Sequence[Tensor], slots: Tensor, target: Tensor,
               classes: Tensor | None) -> dict[str, Tensor]:
        """Weighted losses of one frame.

        Args:
            hidden: Maps (B,P,C,h,w), one per level.
            slots: (B,G) slot of each object, -1 for none.
            target: (B,G,H,W) in {0,1}; an object that is not seen has no box.
            classes: (B,G) long; needed where classes are predicted.

        Returns:
            'loss_stop', 'loss_class', 'loss_box', as far as they are predicted.

        Raises:
            ValueError: Classes are predicted, and there are none to learn from.
        """
        if 'class' in self.linear and classes is None:
            raise ValueError('expected data samples with gt_classes (n,), got some without; add '
                             'them to the dataset or set heads.num_classes=None')
        batch = hidden[0].shape[:2]
        found = {name: x.unflatten(0, batch)
                 for name, x in self([x.flatten(0, 1) for x in hidden]).items()}
        sample, number = (slots >= 0).nonzero(as_tuple=True)
        slot = slots[sample, number]
        taken = torch.zeros(batch, device=slots.device)
        taken[sample, slot] = 1
        losses = {'stop': F.binary_cross_entropy_with_logits(found['stop'][..., 0], taken)}
        if 'class' in found:
            losses['class'] = _mean(F.cross_entropy(
                found['class'][sample, slot], classes[sample, number], reduction='none'))
        if 'box' in found:
            boxes, seen = boxes_of(target[sample, number])
            gaps = (found['box'][sample, slot].sigmoid() - boxes).abs().mean(1)
            losses['box'] = _mean(gaps[seen])
        return {f'loss_{name}': self.weights[name] * loss for name, loss in losses.items()}


def boxes_of(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Left, top, right, bottom as shares of the frame.

    Args:
        masks: (N,H,W) in {0,1}.

    Returns:
        (N,4) in [0,1], and (N,) bool: False where a mask is empty and the box says nothing.
    """
    found = []
    for axis in (1, 2):  # what is left: columns, rows
        line = (masks > 0).any(axis)
        size = line.shape[1]
        position = torch.arange(size, device=masks.device)
        found.append((position.where(line, size).amin(1) / size,
                      (position.where(line, -1).amax(1) + 1) / size))
    (left, right), (top, bottom) = found
    return torch.stack([left, top, right, bottom], 1), masks.flatten(1).any(1)


def _mean(losses: Tensor) -> Tensor:
    """Mean; 0 of nothing."""
    return losses.sum() / max(1, len(losses))
