"""A mixture of Gaussians per object, fitted to a soft mask in closed form and differentiably.

Johnander, Danelljan, Brissman, Khan, Felsberg, "A generative appearance model for end-to-end
trainable video object segmentation", CVPR 2019: the appearance module and table 1. Where the text
and the released code differ, this follows the code, and an argument or the docstring has the text.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...ops.backends import widened
from ...registry import MODELS


@MODELS.register_module()
class GaussianAppearance(BaseModule):
    """Four Gaussians with diagonal covariance: background, object, and the hard parts of both.

    Components 0 and 1 are weighted by the soft mask. Components 2 and 3 take what those two explain
    wrongly, weight relu(p(k|x) - alpha_k) with k = 0, 1: component 2 holds object that looks like
    background, 3 background that looks like the object. (As the two p and the two alpha sum to one,
    this is the text's max(0, alpha_k - p(k|x)), its components 2 and 3 exchanged.)

    Args:
        in_channels: Of the backbone's map.
        channels: C, of the features that are modelled.
        rate: Lambda of the running update; 0 keeps the first fit (table 1's "no update").
        pseudo_count: Pixels at zero that are added to the sums of weights, so that an empty mask
            is safe: a mean of weight a shrinks by a / (a + 1). Of the released code; the text has
            none.
        residual_from: Where the p(k|x) of the hard components come from: the fit to this 'frame'
            (code) or the 'running' one (text).
        init_cfg: See mmengine's BaseModule.
    """

    example = dict(in_channels=6, channels=4)
    components = 4

    def __init__(self, in_channels: int = 2048, channels: int = 512, *, rate: float = 0.1,
                 pseudo_count: float = 1., residual_from: str = 'frame',
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if not 0 <= rate <= 1 or pseudo_count < 0 or residual_from not in ('frame', 'running'):
            raise ValueError("expected rate in 0-1, pseudo_count >= 0 and residual_from 'frame' or "
                             f"'running', got {rate}, {pseudo_count} and {residual_from!r}")
        self.channels = channels
        self.rate = rate
        self.pseudo_count = pseudo_count
        self.residual_from = residual_from
        self.reduce = nn.Conv2d(in_channels, channels, 1)
        nn.init.kaiming_uniform_(self.reduce.weight)  # as the released code begins it
        # r_k of the text is its softplus, 0.127: the least variance
        self.regulariser = nn.Parameter(torch.full((self.components, channels), -2.))

    def reduced(self, x: Tensor) -> Tensor:
        """(B,Cin,h,w) -> (B,C,h,w) in float32: variances are differences of close numbers."""
        return widened(self.reduce(x))

    def forward(self, features: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        """Log of p(x|k) p(k) up to a constant; the prior is uniform.

        Args:
            features: (N,C,h,w), reduced.
            mean: (N,k,C).
            var: (N,k,C).

        Returns:
            (N,k,h,w), not normalised.
        """
        scores = []
        for m, v in zip(mean.unbind(1), var.unbind(1), strict=True):
            m, v = m[:, :, None, None], v[:, :, None, None]
            scores.append(-(v.log() + (features - m).square() / v).sum(1) / 2)
        return torch.stack(scores, 1)

    def update(self, features: Tensor, mask: Tensor, *, fresh: Tensor, mean: Tensor, var: Tensor
               ) -> tuple[Tensor, Tensor]:
        """Blend the fit to this frame in; take it as it is where the object is `fresh`.

        Args:
            features: (N,C,h,w), reduced.
            mask: (N,h,w) in [0,1].
            fresh: (N,) bool, True where the mask was given.
            mean: (N,k,C) so far, anything where fresh.
            var: (N,k,C) so far.

        Returns:
            New mean and variance.
        """
        rate = torch.where(fresh, 1., self.rate).to(mean)[:, None, None]
        weights = self.assign(features, mask, (mean, var), rate)
        new_mean, new_var = self.fit(features, weights)
        return mean.lerp(new_mean, rate), var.lerp(new_var, rate)

    def assign(self, features: Tensor, mask: Tensor, old: tuple[Tensor, Tensor], rate: Tensor
               ) -> Tensor:
        """(N,k,h,w) weights alpha of every pixel in every component."""
        base = base_weights(mask)
        mean, var = self.fit(features, base)
        if self.residual_from == 'running':
            mean, var = (past[:, :2].lerp(now, rate)
                         for past, now in zip(old, (mean, var), strict=True))
        # these two alone: this class's forward, a subclass may give something else
        posterior = GaussianAppearance.forward(self, features, mean, var).softmax(1)
        return torch.cat([base, (posterior - base).relu()], 1)

    def fit(self, features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted mean and variance (N,k,C) of (N,C,h,w) under (N,k,h,w)."""
        means, variances = [], []
        least = F.softplus(self.regulariser)
        for k, weight in enumerate(weights.split(1, 1)):
            total = (weight.sum((2, 3)) + self.pseudo_count).clamp_min(1e-6)
            mean = (weight * features).sum((2, 3)) / total
            spread = (features - mean[:, :, None, None]).square()
            means.append(mean)
            variances.append((weight * spread).sum((2, 3)) / total + least[k])
        return torch.stack(means, 1), torch.stack(variances, 1)


@MODELS.register_module()
class UnimodalAppearance(GaussianAppearance):
    """One Gaussian for the background and one for the object (table 1, "unimodal")."""

    components = 2

    def assign(self, features: Tensor, mask: Tensor, old: tuple[Tensor, Tensor], rate: Tensor
               ) -> Tensor:
        """(N,2,h,w): the mask."""
        return base_weights(mask)


@MODELS.register_module()
class SoftmaxAppearance(GaussianAppearance):
    """Gives posteriors instead of raw scores (table 1, "appearance softmax")."""

    def forward(self, features: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        """(N,k,h,w) p(k|x), summing to one over the components."""
        return super().forward(features, mean, var).softmax(1)


@MODELS.register_module()
class FixedAppearance(GaussianAppearance):
    """No gradient flows through the fitted Gaussians (table 1, "no end-to-end").

    The text does not say what is cut. Here mean and variance are constants of the loss: the
    features still learn from the scores of their own frame, but neither they nor the masks learn
    to be good to fit to. The variances' regulariser, which is seen through the fit alone, stays
    as it begins.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.regulariser.requires_grad_(False)

    @torch.no_grad()
    def update(self, features: Tensor, mask: Tensor, *, fresh: Tensor, mean: Tensor, var: Tensor
               ) -> tuple[Tensor, Tensor]:
        """As the base, as constants."""
        return super().update(features, mask, fresh=fresh, mean=mean, var=var)


def base_weights(mask: Tensor) -> Tensor:
    """(N,h,w) -> (N,2,h,w): 1 - mask, mask."""
    return torch.stack([1 - mask, mask], 1)
