"""Video Colorization: tracking that emerges from copying colours.

Vondrick, Shrivastava, Fathi, Guadarrama, Murphy, "Tracking Emerges by Colorizing Videos",
ECCV 2018: every cell of a grey frame points at all cells of three reference frames at once and
takes the mean of their colours (equation 1); cross entropy over 16 classes of colour (equation 2).
At inference it takes the labels of the three frames before.

No code was released and our facts are second-hand: grey frames, ResNet-18 to stride 8, where a cell
is in the frame as two channels, five dilated 3D convolutions, 64 channels, a global softmax. Ours:

- Grey is L of Lab, so that what is seen and what is asked for (a and b) share nothing.
- 3D convolutions are 3x3x3 with dilations 1, 2, 4, 8, 16 in space and 1 in time, batch norm and
  ReLU between; the last two stages of the ResNet keep their stride, without dilation.
- The 16 centroids are those of CorrFlow; classes are read at the kernel centres.
- Products of features are divided by sqrt(C), as `GlobalMatching` does.
- Labels in memory are hard. At the start of a video the oldest frame stands in for those that are
  missing.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...ops import rgb_to_lab
from ...registry import MODELS
from ...structures import Frame, VOSDataSample
from ..losses.color_classes import color_masks
from ..matching_heads import GlobalMatching
from ..memory_managers import FrameMemory
from .label_propagation import LabelPropagation

DILATIONS = (1, 2, 4, 8, 16)


@MODELS.register_module()
class VideoColorization(LabelPropagation):
    """Label propagation by pointing anywhere in three frames; features know the frames around them.

    The 3D convolutions mix the frames of a clip, so a frame has other features beside other
    references: the bank remembers maps of the 2D trunk, and the 3D part runs for every query.

    The call graph::

        loss     > encode_clip > trunk per frame > mixer > copy: global softmax > loss of cells
        segment  > match       > trunk of the query, maps of the bank > mixer > global softmax
        memorize > LabelPropagation: trunk's map, labels at kernel centres -> bank 'frames'

    Args:
        backbone: Config or module: (B,1,H,W) -> tuple whose last is (B,C,h,w). mmseg's do not know
            their `stride`: give it.
        matching_head: Config or module of a global matching head for inference.
        in_channels: C, of the trunk.
        channels: Between the 3D convolutions.
        embed_channels: Of the features that are matched.
        references: Frames that a query sees; `memory` reads no more than these.
        **kwargs: Of `LabelPropagation`; `reconstruction_head` is a global matching head, too.
    """

    example = dict(
        backbone=dict(type='mmseg.ResNet', in_channels=1, depth=18, base_channels=4,
                      stem_channels=4, num_stages=3, strides=(1, 2, 1), dilations=(1, 1, 1),
                      out_indices=(2,)),
        matching_head=dict(type='GlobalMatching'),
        memory=dict(type='FrameBank', recent=3, annotated=False),
        reconstruction_head=dict(type='GlobalMatching'), loss=dict(type='ColorClassLoss'),
        stride=8, in_channels=16, channels=8, embed_channels=8, geometry=dict(divisor=8))

    def __init__(self, backbone: dict | nn.Module, matching_head: dict | nn.Module, *,
                 in_channels: int = 512, channels: int = 256, embed_channels: int = 64,
                 references: int = 3, **kwargs) -> None:
        super().__init__(backbone, matching_head, **kwargs)
        if references < 1:
            raise ValueError(f'expected references >= 1 (3 in the paper), got {references}')
        if not isinstance(self.matching_head, GlobalMatching):
            raise ValueError("VideoColorization points anywhere; expected matching_head=dict(type="
                             f"'GlobalMatching'), got {type(self.matching_head).__name__}")
        self.references = references
        self.mixer = FrameMixer(in_channels, channels, embed_channels)

    def encoder_input(self, image: Tensor) -> Tensor:
        """(B,1,H,W) in [-1,1], L of Lab, of (B,3,H,W) RGB in [0,1]."""
        return rgb_to_lab(image)[:, :1]

    def loss(self, inputs: Tensor,
             data_samples: list[VOSDataSample] | None = None) -> dict[str, Tensor]:
        """Point from the last frame of each clip at the others, at the size of the features.

        Args:
            inputs: (B,T,3,H,W) RGB in [0,1], 2 <= T <= `references` + 1.
            data_samples: Not used: no label is ever seen.

        Returns:
            'loss', a scalar.
        """
        self.check_trainable(inputs)
        inputs = self.completed(inputs, self.references + 1, 1)
        grey = self.encoder_input(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])
        *keys, query = self.encode_clip(grey)
        cells = self.cells(color_masks(inputs))
        pred = self.copy(query, keys, cells[:, :-1])
        return dict(loss=self.loss_module(pred, cells[:, -1]))

    def encode_clip(self, clip: Tensor) -> list[Tensor]:
        """T maps (B,E,h,w) of (B,T,1,H,W), each of all frames."""
        return list(self.mixer(torch.stack(super().encode_clip(clip), 2)).unbind(2))

    def copy(self, query: Tensor, keys: Sequence[Tensor], cells: Tensor) -> Tensor:
        """One softmax over all cells of all references: (B,T,Cv,h,w) -> (B,Cv,h,w)."""
        values = cells.transpose(1, 2)[:, None]
        return point(self.reconstruction_head, query, torch.stack([*keys], 2), values)[:, 0]

    def match(self, frame: Frame, bank: FrameMemory, values: Tensor) -> Tensor:
        """Read values (B,K,Cv,T,h,w) of the references where they match: (B,K,Cv,h,w)."""
        query = self.features(frame)
        keys = self.completed(bank.read('key', frame.index), self.references, 2)
        mixed = self.mixer(torch.cat([keys.to(query.dtype), query[:, :, None]], 2))
        values = self.completed(values, self.references, 3)
        return point(self.matching_head, mixed[:, :, -1], mixed[:, :, :-1], values)

    def completed(self, x: Tensor, length: int, dim: int) -> Tensor:
        """Repeat the oldest of the frames along `dim` until there are `length`."""
        missing = length - x.shape[dim]
        if missing < 0:
            raise ValueError(
                f'expected {length} frames or fewer with references={self.references}, got '
                f'{x.shape[dim]}; inference: memory=dict(type="FrameBank", recent='
                f'{self.references}, annotated=False), training: length={self.references + 1} of '
                'the clips')
        return torch.cat([x.narrow(dim, 0, 1)] * missing + [x], dim)


class FrameMixer(nn.Module):
    """Dilated 3D convolutions over the maps of all frames and the place of each cell.

    Args:
        in_channels: C.
        channels: Between the convolutions.
        out_channels: E.
    """

    def __init__(self, in_channels: int, channels: int, out_channels: int) -> None:
        super().__init__()
        widths = [in_channels + 2, *[channels] * (len(DILATIONS) - 1)]
        layers: list[nn.Module] = []
        for width, dilation in zip(widths, DILATIONS, strict=True):
            layers += [_convolution(width, channels, dilation, bias=False),
                       nn.BatchNorm3d(channels), nn.ReLU(inplace=True)]
        # the features themselves have both signs
        layers[-3:] = [_convolution(widths[-1], out_channels, DILATIONS[-1])]
        self.layers = nn.Sequential(*layers)

    def forward(self, maps: Tensor) -> Tensor:
        """(B,C,T,h,w) -> (B,E,T,h,w)."""
        height, width = maps.shape[-2:]
        y = torch.linspace(-1, 1, height, device=maps.device, dtype=maps.dtype)[:, None]
        x = torch.linspace(-1, 1, width, device=maps.device, dtype=maps.dtype)
        place = torch.stack([y.expand(height, width), x.expand(height, width)])
        place = place[:, None].expand(len(maps), -1, maps.shape[2], -1, -1)
        return self.layers(torch.cat([maps, place], 1))


def _convolution(in_channels: int, channels: int, dilation: int, bias: bool = True) -> nn.Conv3d:
    reach = (1, dilation, dilation)
    return nn.Conv3d(in_channels, channels, 3, padding=reach, dilation=reach, bias=bias)


def point(head: nn.Module, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """A global matching head on maps: query (B,E,h,w), keys (B,E,T,h,w), values (B,K,Cv,T,h,w)."""
    out, _ = head(query.flatten(2), keys.flatten(2)[:, None], values.flatten(3))
    return out.unflatten(-1, query.shape[-2:])
