"""MUNet: motion and uncertainty between neighbouring frames guide the read from memory.

Sun, Mao, Dai, Zhong, Wang, "MUNet: Motion uncertainty-aware semi-supervised video object
segmentation". Section 3.2 (MU-layer: equation 1 cost volume, then displacement, equation 2
uncertainty, motion feature), section 3.3 (equation 3, motion-aware spatial attention), section 3.4
(equation 4, loss: `LossSum` of bootstrapped cross entropy, with its minus sign, and mask IoU).

What the text leaves open or prints differently from what can work is said beside the code. The
text's displacement prefers the worst match (softmax of minus a similarity); `sign=-1,
temperature=1` is what is printed, `sign=1, temperature=0.1` measures motion.

Table 4 takes parts away: without uncertainty and with addition there are the two classes below
`MUNet`, without motion it is STM (configs/munet/ablations).
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...ops import local_correlation
from ...ops.backends import widened
from ...registry import MODELS
from ...structures import Frame, VideoState
from .stm import STM, with_masks


@MODELS.register_module()
class MUNet(STM):
    """STM whose query is modulated by the motion since the frame before.

    The call graph::

        segment  > query_encoder > reduce > motion (MU-layer) > fuse (MSAM) > query_kv > as STM
        memorize > as STM, without the others' mask; reduced features of this frame -> shared

    Motion is that of the frame, not of an object: it is computed once and serves all objects.

    Args:
        query_encoder: As STM's.
        memory_encoder: As STM's, of 4 channels: image and mask.
        in_channels: Of both encoders' last maps.
        radius: R of the search window in cells; 12 gives the paper's 25x25.
        sign: -1 as printed, 1 for the best match.
        temperature: Of the softmax over the window.
        **kwargs: Of STM.
    """

    example = {**STM.example, 'radius': 2,
               'memory_encoder': {**STM.example['memory_encoder'], 'in_channels': 4},
               'loss': dict(type='LossSum', losses=[
                   dict(type='CrossEntropy', top_p=0.4), dict(type='MaskIoULoss')])}
    map_names = ('displacement', 'uncertainty')
    motion_channels = 3  # of `measure`

    def __init__(self, query_encoder: dict | nn.Module, memory_encoder: dict | nn.Module, *,
                 in_channels: int = 1024, radius: int = 12, sign: int = -1,
                 temperature: float = 1., **kwargs) -> None:
        super().__init__(query_encoder, memory_encoder, in_channels=in_channels, **kwargs)
        if radius < 1 or sign not in (-1, 1) or temperature <= 0:
            raise ValueError('expected radius >= 1, sign -1 or 1 and temperature > 0, got '
                             f'{radius}, {sign} and {temperature}')
        self.radius = radius
        self.sharpness = sign / temperature
        self.reduce = nn.Conv2d(in_channels, in_channels // 4, 1)
        self.motion_net = motion_net(self.motion_channels, in_channels)
        self.attention = nn.Conv2d(in_channels, 1, 1)

    def query(self, frame: Frame, state: VideoState) -> tuple[Tensor, Tensor]:
        """Key and value of the map that motion enhanced."""
        motion = self.motion_net(self.motion(frame, state))
        return self.query_kv(self.fuse(self.encode(frame)[-1], motion))

    def fuse(self, semantic: Tensor, motion: Tensor) -> Tensor:
        """F_s * sigmoid(conv(F_m)) + F_s (eq. 3), of (B,C,h,w) both."""
        return semantic * self.attention(motion).sigmoid() + semantic

    def motion(self, frame: Frame, state: VideoState) -> Tensor:
        """`measure` of the volume between this frame and the one before, once per frame."""
        return frame.cached('motion', lambda: self.measure(cost_volume(
            self.reduced(frame), state.shared['previous'], self.radius)))

    def measure(self, volume: Tensor) -> Tensor:
        """(B,3,h,w): displacement (u, v) to the frame before in cells and the best similarity."""
        return torch.cat([displacement(volume, self.sharpness), confidence(volume)], 1)

    def maps(self, frame: Frame) -> dict[str, Tensor]:
        """Displacement, length 1 is the search radius, and uncertainty, cut to 0 to 1.

        The displacement points to where a cell was in the frame before. The uncertainty is the
        text's name for a confidence: 1, bright, is a cell that has its like in the frame before.
        """
        motion = frame.found('motion')
        if motion is None:
            return {}
        shown = (motion[:, :2] / self.radius, motion[:, 2:].clamp(0, 1))
        return dict(zip(self.map_names, shown, strict=False))

    def reduced(self, frame: Frame) -> Tensor:
        """(B,C/4,h,w), computed once per frame."""
        return frame.cached('reduced', lambda: self.reduce(self.encode(frame)[-1]))

    def memorize(self, frame: Frame, probs: Tensor, state: VideoState) -> None:
        """As STM, and the features to which the next frame is compared."""
        super().memorize(frame, probs, state)
        state.shared['previous'] = self.reduced(frame)

    def memory_input(self, frame: Frame, objects: Tensor) -> Tensor:
        """Image and the object's own mask: the text has no mask of the others."""
        return with_masks(frame, objects)[:, :, :4]


@MODELS.register_module()
class MUNetWithoutUncertainty(MUNet):
    """MUNet whose motion is the displacement alone (Table 4 d): the motion net has 2 inputs."""

    map_names = ('displacement',)
    motion_channels = 2

    def measure(self, volume: Tensor) -> Tensor:
        """(B,2,h,w): displacement (u, v) to the frame before in cells."""
        return displacement(volume, self.sharpness)


@MODELS.register_module()
class MUNetAddition(MUNet):
    """MUNet that adds motion to the semantic map (Table 4 f)."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        del self.attention

    def fuse(self, semantic: Tensor, motion: Tensor) -> Tensor:
        """F_s + F_m (section 3.3)."""
        return semantic + motion


def motion_net(in_channels: int, out_channels: int) -> nn.Sequential:
    """Eight convolutions with ReLU between, from (u, v, U) to the motion feature (table 1)."""
    layers: list[nn.Module] = []
    sizes = ((in_channels, 3, 7), (3, 16, 1), (16, 16, 3), (16, 32, 1), (32, 32, 3), (32, 32, 1),
             (32, 64, 3), (64, out_channels, 1))
    for before, after, kernel in sizes:
        layers += [nn.Conv2d(before, after, kernel, padding=kernel // 2), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def cost_volume(now: Tensor, before: Tensor, radius: int) -> Tensor:
    """Cosine similarity of each cell with a window of the frame before (eq. 1).

    Outside the map it is 0: cutting the window there would shift the displacement by cells.

    Args:
        now: (B,C,h,w).
        before: (B,C,h,w).
        radius: R.

    Returns:
        (B,P*P,h,w) from -1 to 1, row by row from (-R,-R).
    """
    now, before = (F.normalize(widened(x), dim=1) for x in (now, before))
    return local_correlation(now, before, radius)


def displacement(volume: Tensor, sharpness: float) -> Tensor:
    """Mean offset in cells, x first, weighted by the softmax of `sharpness` * volume (section 3.2).

    Args:
        volume: (B,P*P,h,w).
        sharpness: -1 in the text; 1 / temperature.

    Returns:
        (B,2,h,w): this frame's cell x was at x + displacement.
    """
    side = round(volume.shape[1] ** 0.5)
    steps = torch.arange(side, device=volume.device, dtype=volume.dtype) - side // 2
    weights = (sharpness * volume).softmax(1)
    # no product of matrices: autocast would make it bfloat16
    return torch.stack([(weights * offset[:, None, None]).sum(1) for offset in (
        steps.repeat(side), steps.repeat_interleave(side))], 1)


def confidence(volume: Tensor) -> Tensor:
    """(B,1,h,w): the largest similarity (eq. 2); high is a good match."""
    return volume.amax(1, keepdim=True)
