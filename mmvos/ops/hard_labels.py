"""From probabilities to labels."""
import torch
from torch import Tensor


def hard_labels(probs: Tensor) -> Tensor:
    """The channel with the largest number; the lowest of several, on every device.

    Several times faster on a CPU than `argmax` over the channels, which promises neither.

    Args:
        probs: (B,C,...), C at most 256; NaN counts as smaller than everything.

    Returns:
        (B,1,...) uint8.
    """
    if probs.shape[1] > 256:
        raise ValueError(f'hard_labels: expected at most 256 channels, got {probs.shape[1]}')
    best = probs[:, :1].nan_to_num(-torch.inf, torch.inf, -torch.inf)
    labels = torch.zeros_like(best, dtype=torch.uint8)
    for channel in range(1, probs.shape[1]):
        candidate = probs[:, channel:channel + 1]
        better = candidate > best
        labels.masked_fill_(better, channel)
        best = torch.where(better, candidate, best)
    return labels
