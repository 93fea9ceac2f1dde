"""MAMP: self-supervised video object segmentation by motion-aware mask propagation.

Miao, Bennamoun, Gao, Mian, arXiv 2107.12569. Equations 1-4 (training), sections "Motion-aware
Spatio-temporal Matching" and "Size-aware Image Feature Alignment" (inference).

Where the paper and the released code differ, this follows the code: a 3x3 projection to 64
channels (so sqrt(c) = 8), one dropped channel per batch and a factor 3/2 on the others, only the
dropped channel reconstructed, smooth-L1 on values times 20, zero logits outside the map, integer
flow, hard label memory.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...ops import warp
from ...registry import MODELS
from ...structures import Frame, VideoState
from ..matching_heads.local import warp_references
from ..memory_managers import FrameMemory
from .label_propagation import LabelPropagation

BOX = 7  # cells a side, over which `TrackingMAMP` compares features


@MODELS.register_module()
class MAMP(LabelPropagation):
    """Label propagation from references that optical flow has warped to the query.

    The call graph::

        loss     > LabelPropagation: a dropped channel of Lab, pairs of frames
        segment  > features > match (offset > warp > 36 best candidates) > upsample
        memorize > features, labels at kernel centres, motion code -> bank 'frames'

    Args:
        backbone: See `LabelPropagation`.
        matching_head: See `LabelPropagation`; `LocalMatching` warps.
        motion_estimator: Config or module; its stride is the backbone's.
        **kwargs: Of `LabelPropagation`.
    """

    example = {**LabelPropagation.example, 'motion_estimator': dict(type='DISFlow')}

    def __init__(self, backbone: dict | torch.nn.Module, matching_head: dict | torch.nn.Module, *,
                 motion_estimator: dict | torch.nn.Module, **kwargs) -> None:
        super().__init__(backbone, matching_head, **kwargs)
        self.motion_estimator = MODELS.build(motion_estimator)
        self.motion_estimator.require_stride(self.stride)

    def adopted(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """All weights, those of the motion estimator, too."""
        return weights

    def offset(self, frame: Frame, bank: FrameMemory) -> Tensor:
        """(B,T,2,h,w) integer offsets in cells, clamped to the size of the map."""
        codes = bank.read('motion', frame.index)
        offset = self.motion_estimator(self.view(frame), codes, bank.gaps(frame.index))
        return whole_cells(offset)

    def motion_codes(self, frame: Frame) -> dict[str, Tensor]:
        """What the motion estimator remembers of a frame."""
        return dict(motion=self.motion_estimator.code(self.view(frame)))


@MODELS.register_module()
class SoftMAMP(MAMP):
    """MAMP that remembers probabilities, as CRW does (Jabri, Owens, Efros, NeurIPS 2020).

    A cell that two objects share is not decided anew in each frame, so borders keep their place.
    Frames whose masks are given are remembered hard, as their masks are.
    """

    def labels(self, probs: Tensor) -> Tensor:
        """Probabilities of the objects (B,K,h,w)."""
        return probs[:, 1:]


@MODELS.register_module()
class TrackingMAMP(SoftMAMP):
    """SoftMAMP that also looks for old frames where it last saw them.

    Flow measured straight to frame 0 is lost where much has changed since. So every remembered
    frame has a trace: where the cells of the newest frame are in it. Flow to the newest frame and
    then along the trace is where a second search begins in each old reference (the warm start of
    RAFT on video); it follows what moves far, but also keeps its errors. A cell takes the one of
    both offsets that leads to features more like those around it.

    The call graph::

        offset   > motion (straight flow; chain > tracked flow) > misfit of both
        memorize > traces of all that is remembered; MAMP's

    Args:
        backbone: See `MAMP`.
        matching_head: See `MAMP`.
        memory: See `MAMP`; it has to hold the newest frame.
        **kwargs: Of `MAMP`.
    """

    def __init__(self, backbone: dict | torch.nn.Module, matching_head: dict | torch.nn.Module, *,
                 memory: dict, **kwargs) -> None:
        super().__init__(backbone, matching_head, memory=memory, **kwargs)
        if not memory.get('recent', 1):
            raise ValueError('TrackingMAMP starts from the newest frame; expected recent >= 1 in '
                             'memory, got 0; SoftMAMP needs no such frame')

    def offset(self, frame: Frame, bank: FrameMemory) -> Tensor:
        """(B,T,2,h,w) integer offsets in cells, clamped to the size of the map."""
        straight, traces = self.motion(frame, bank)
        tracked = torch.stack([traces[index] for index in bank.indices(frame.index)], 1)
        straight, tracked = whole_cells(straight), whole_cells(tracked)
        better = self.misfit(frame, bank, tracked) < self.misfit(frame, bank, straight)
        return torch.where(better, tracked, straight)

    def misfit(self, frame: Frame, bank: FrameMemory, offset: Tensor) -> Tensor:
        """(B,T,1,h,w) squared distance to the features that offsets lead to, mean over a box."""
        keys = warp_references(bank.read('key', frame.index), offset)
        distance = (self.features(frame)[:, :, None] - keys).float().square().mean(1)
        return F.avg_pool2d(distance, BOX, 1, BOX // 2, count_include_pad=False)[:, :, None]

    def memorize(self, frame: Frame, probs: Tensor, state: VideoState) -> None:
        """Carry the traces of all that is remembered on to this frame, then remember it, too."""
        bank = state.banks['frames']
        if bank.items:
            for index, trace in self.motion(frame, bank)[1].items():
                bank.items[index].shared['trace'] = trace
        super().memorize(frame, probs, state)

    def motion_codes(self, frame: Frame) -> dict[str, Tensor]:
        """What the motion estimator remembers, and that each cell of the frame is where it is."""
        size = self.motion_estimator.grid_size(self.view(frame))
        trace = torch.zeros(len(frame.image), 2, *size, device=frame.image.device)
        return dict(super().motion_codes(frame), trace=trace)

    def motion(self, frame: Frame, bank: FrameMemory) -> tuple[Tensor, dict[int, Tensor]]:
        """Offsets in cells, not rounded, computed once per frame.

        Returns:
            Straight flow to what the frame reads (B,T,2,h,w), and the frame's trace in every
            remembered frame (B,2,h,w): tracked flow where it reads, the chain elsewhere.
        """
        return frame.cached('motion', lambda: self._motion(frame, bank))

    def _motion(self, frame: Frame, bank: FrameMemory) -> tuple[Tensor, dict[int, Tensor]]:
        read, newest = bank.indices(frame.index), max(bank.items)
        flow = self._flow(frame, bank, sorted({*read, newest}))
        straight, step = flow[:, :len(read)], flow[:, -1]
        old = [index for index in read if index != newest]
        traces = {index: step + warp(item.shared['trace'], into_map(step))
                  for index, item in bank.items.items()}
        if old:
            start = torch.stack([traces[index] for index in old], 1)
            traces.update(zip(old, self._flow(frame, bank, old, start).unbind(1), strict=True))
        return straight, traces

    def _flow(self, frame: Frame, bank: FrameMemory, indices: list[int],
              start: Tensor | None = None) -> Tensor:
        codes = torch.stack([bank.items[index].shared['motion'] for index in indices], 2)
        return self.motion_estimator(self.view(frame), codes,
                                     [frame.index - index for index in indices], start)


def into_map(offset: Tensor) -> Tensor:
    """Offsets (B,2,h,w) in cells, xy, cut where they would leave the map."""
    height, width = offset.shape[-2:]
    cells = torch.stack(torch.meshgrid(
        *(torch.arange(n, device=offset.device) for n in (width, height)), indexing='xy'))
    last = offset.new_tensor((width - 1, height - 1))[:, None, None]
    return torch.minimum((cells + offset).clamp(min=0), last) - cells


def whole_cells(offset: Tensor) -> Tensor:
    """Offsets (...,2,h,w) clamped to the size of the map and rounded."""
    height, width = offset.shape[-2:]
    limit = offset.new_tensor((width, height))[:, None, None]
    return offset.clamp(-limit, limit).round()
