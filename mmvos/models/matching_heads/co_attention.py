"""Co-attention: what a frame has in common with other frames, wherever it is in them.

Lu, Wang, Ma, Shen, Shao, Porikli, "See more, know more: Unsupervised video object segmentation with
co-attention Siamese networks" (COSNet), CVPR 2019: the affinity S = V_b^T W V_a of all pairs of
places of two frames, attention summaries Z_a = V_b softmax(S) over the places of b, and a gate in
[0,1] that keeps of them what is worth keeping.
"""
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...ops.backends import flushed_softmax, widened, without_autocast
from ...registry import MODELS

TILE_BYTES = 2**26  # of affinities at a time


class CoAttention(BaseModule):
    """Gated attention summaries of references; a class says what W is.

    Args:
        channels: C.
        gate_bias: The gate has a bias, as the paper prints it; the released code has none.
        init_cfg: See mmengine's BaseModule.
    """

    example = dict(channels=8)

    def __init__(self, channels: int = 256, *, gate_bias: bool = True,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.channels = channels
        self.gate = nn.Conv2d(channels, 1, 1, bias=gate_bias)

    @abstractmethod
    def sides(self, target: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """Two maps whose products are source^T W target.

        Args:
            target: (B,C,M).
            source: (B,C,N).

        Returns:
            (B,C,M) and (B,C,N).
        """

    def forward(self, target: Tensor, references: Tensor) -> Tensor:
        """Summarise each reference for the target, with a softmax of its own.

        Args:
            target: (B,C,h,w).
            references: (B,C,T,h,w).

        Returns:
            (B,T,C,h,w), gated: the target's places in terms of each reference.
        """
        return torch.stack([self.gated(self.summary(target, reference))
                            for reference in references.unbind(2)], 1)

    def joint(self, target: Tensor, references: Tensor) -> Tensor:
        """Summarise all references with one softmax (the released code's "group"): (B,C,h,w)."""
        return self.gated(self.summary(target, references.flatten(2, 3)))

    def both(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Gated summaries Z_a (of b) and Z_b (of a) of one affinity, for training; (B,C,h,w)."""
        flat_a, flat_b = a.flatten(2), b.flatten(2)
        affinity = _products(*self.sides(flat_a, flat_b))
        of_b = torch.einsum('bcn,bnm->bcm', flat_b, flushed_softmax(affinity, 1).to(b.dtype))
        of_a = torch.einsum('bcm,bnm->bcn', flat_a, flushed_softmax(affinity, 2).to(a.dtype))
        return self.gated(of_b.view_as(a)), self.gated(of_a.view_as(b))

    def summary(self, target: Tensor, reference: Tensor) -> Tensor:
        """Z_a (B,C,h,w) of the target (B,C,h,w) out of a reference (B,C,h',w'), not gated."""
        left, right = self.sides(target.flatten(2), reference.flatten(2))
        source, parts = reference.flatten(2), []
        for tile in self._tiles(left, right.shape[-1]):
            weights = flushed_softmax(_products(tile, right), 1)
            parts.append(torch.einsum('bcn,bnm->bcm', source, weights.to(source.dtype)))
        return torch.cat(parts, 2).unflatten(2, target.shape[-2:])

    def gated(self, summary: Tensor) -> Tensor:
        """Summary (B,C,h,w) times its gate in [0,1]."""
        return summary * self.gate(summary).sigmoid()

    def penalty(self) -> Tensor:
        """Scalar to be added to the loss; 0 where nothing constrains W."""
        return self.gate.weight.new_zeros(())

    @staticmethod
    def _tiles(target: Tensor, sources: int) -> Iterator[Tensor]:
        """Parts of the places of the target, of few affinities each."""
        step = max(1, TILE_BYTES // (4 * len(target) * sources))
        return (target[..., start:start + step] for start in range(0, target.shape[-1], step))


def _products(left: Tensor, right: Tensor) -> Tensor:
    """(B,N,M) of (B,C,M) and (B,C,N), in float32: they are large, and differences of 1 matter."""
    with without_autocast(left):
        return torch.einsum('bcm,bcn->bnm', widened(left), widened(right))


@MODELS.register_module()
class VanillaCoAttention(CoAttention):
    """W is any matrix (the released code)."""

    def __init__(self, channels: int = 256, **kwargs) -> None:
        super().__init__(channels, **kwargs)
        self.weight = nn.Linear(channels, channels, bias=False)

    def sides(self, target: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """See `CoAttention.sides`."""
        return self.weight(target.mT).mT, source


@MODELS.register_module()
class SymmetricCoAttention(CoAttention):
    """W = P^T D P: both frames are projected alike (the paper's best).

    `penalty` holds P near an orthogonal matrix: |P P^T - I| (Frobenius).
    """

    def __init__(self, channels: int = 256, **kwargs) -> None:
        super().__init__(channels, **kwargs)
        self.projection = nn.Linear(channels, channels, bias=False)
        nn.init.orthogonal_(self.projection.weight)
        self.diagonal = nn.Parameter(torch.ones(channels))

    def sides(self, target: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """See `CoAttention.sides`."""
        target, source = (self.projection(x.mT).mT for x in (target, source))
        return target * self.diagonal[:, None], source

    def penalty(self) -> Tensor:
        """|P P^T - I|."""
        weight = self.projection.weight
        return torch.linalg.norm(weight @ weight.mT - torch.eye(self.channels).to(weight))


@MODELS.register_module()
class ChannelCoAttention(CoAttention):
    """W is diagonal: channels are weighted, not mixed."""

    def __init__(self, channels: int = 256, **kwargs) -> None:
        super().__init__(channels, **kwargs)
        self.diagonal = nn.Parameter(torch.ones(channels))

    def sides(self, target: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """See `CoAttention.sides`."""
        return target * self.diagonal[:, None], source
