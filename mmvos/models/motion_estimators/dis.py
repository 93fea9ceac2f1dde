"""Dense inverse search optical flow from OpenCV: no weights needed."""
from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...registry import MODELS
from ...structures import Frame
from .base import MotionEstimator


@MODELS.register_module()
class DISFlow(MotionEstimator):
    """DIS flow (Kroeger et al., ECCV 2016) on reduced grey images, OpenCV's medium preset.

    Args:
        stride: Pixels per feature cell.
        scale: Pixels per pixel of the grey image that flow is computed on.
        init_cfg: See mmengine's BaseModule.
    """

    example = dict(stride=4, scale=2)

    def __init__(self, stride: int = 4, *, scale: int = 2, init_cfg: dict | None = None) -> None:
        super().__init__(stride, init_cfg=init_cfg)
        self.scale = scale

    def encode(self, frame: Frame) -> Tensor:
        """Grey image (B,1,H/scale,W/scale) uint8, where the frame is, as all that is stored."""
        image = frame.image.float()
        weight = image.new_tensor((0.299, 0.587, 0.114))[:, None, None]
        grey = (image * weight).sum(1, keepdim=True)
        if self.scale > 1:
            grey = F.avg_pool2d(grey, self.scale, ceil_mode=True)
        # below 32 pixels a side DIS has no pyramid level to start from
        grey = F.pad(grey, (0, max(0, 32 - grey.shape[3]), 0, max(0, 32 - grey.shape[2])),
                     mode='replicate')
        return (grey * 255).round().byte()

    def forward(self, frame: Frame, ref_codes: Tensor, gaps: list[int],
                start: Tensor | None = None) -> Tensor:
        """Flow of each (query, reference) pair, read at the kernel centre of each cell."""
        query = self.code(frame)[:, 0].cpu().numpy()
        refs = ref_codes[:, 0].cpu().numpy()
        starts = np.full(refs.shape[:2], None) if start is None else self._from_cells(
            start, frame.image.shape[-2:], query.shape[1:])
        # one DIS object per call: it keeps buffers and is not safe to share
        dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        flows = np.stack([
            np.stack([dis.calc(image, np.ascontiguousarray(ref), begin)
                      for ref, begin in zip(*pair, strict=True)])
            for image, *pair in zip(query, refs, starts, strict=True)
        ])
        flow = torch.from_numpy(flows).permute(0, 1, 4, 2, 3).to(frame.image.device)
        return self._to_cells(flow, self.grid_size(frame))

    def _from_cells(self, start: Tensor, image: tuple[int, int],
                    size: tuple[int, int]) -> np.ndarray:
        """(B,T,2,h,w) in cells to (B,T,H',W',2) in grey pixels, near enough to begin with."""
        seen = [-(-n // self.scale) for n in image]  # the rest of `size` is padding
        wide = F.interpolate(start.flatten(0, 1), seen, mode='bilinear') * self.stride / self.scale
        wide = F.pad(wide, (0, size[1] - seen[1], 0, size[0] - seen[0]), mode='replicate')
        return wide.permute(0, 2, 3, 1).unflatten(0, start.shape[:2]).contiguous().cpu().numpy()

    def _to_cells(self, flow: Tensor, size: tuple[int, int]) -> Tensor:
        """(B,T,2,H',W') in grey pixels to (B,T,2,h,w) in cells, sampled at kernel centres."""
        height, width = size
        step = self.stride / self.scale
        ys, xs = ((torch.arange(n, device=flow.device) * step).clamp(max=m - 1)
                  for n, m in ((height, flow.shape[3]), (width, flow.shape[4])))
        grid = torch.stack(torch.broadcast_tensors(
            2 * xs / (flow.shape[4] - 1) - 1, 2 * ys[:, None] / (flow.shape[3] - 1) - 1), -1)
        flat = flow.flatten(0, 1)
        cells = F.grid_sample(flat, grid.float()[None].expand(len(flat), -1, -1, -1),
                              align_corners=True)
        return (cells / step).unflatten(0, flow.shape[:2])
