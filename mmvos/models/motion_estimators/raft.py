"""RAFT: recurrent all-pairs field transforms for optical flow.

Teed and Deng, ECCV 2020 (arXiv 2003.12039): sections 3.1 (encoders), 3.2 (correlation pyramid and
lookup), 3.3 (iterative updates). Used as MAMP uses it: few iterations, and bilinear instead of
the learned convex up-sampling, whose head is therefore never run.
"""
from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...compat import load_checkpoint_file
from ...registry import MODELS
from ...structures import Frame
from .base import MotionEstimator
from .raft_modules import ConvGRU, CorrelationPyramid, Encoder, FlowHead, MotionEncoder

CELL = 8  # pixels per cell of RAFT's own grid
LEVELS = 4
PUBLIC = 'https://github.com/princeton-vl/RAFT'


class UpdateBlock(nn.Module):
    """Correlation and flow in, change of the flow out, through a convolutional GRU.

    Args:
        corr_channels: Channels of the correlation lookup.
        small: The small network: one 3x3 cell instead of a 1x5 and a 5x1 cell.
    """

    def __init__(self, corr_channels: int, *, small: bool) -> None:
        super().__init__()
        if small:
            self.encoder = MotionEncoder(corr_channels, (96,), (64, 32), 82)
            self.gru = ConvGRU((96, 64, 82), {'': (3, 3)})
            self.flow_head = FlowHead(96, 128)
        else:
            self.encoder = MotionEncoder(corr_channels, (256, 192), (128, 64), 128)
            self.gru = ConvGRU((128, 128, 128), {'1': (1, 5), '2': (5, 1)})
            self.flow_head = FlowHead(128, 256)
            # up-sampling weights: in the public checkpoints, not needed here
            self.mask = nn.Sequential(
                nn.Conv2d(128, 256, 3, 1, 1), nn.ReLU(), nn.Conv2d(256, 64 * 9, 1))


@MODELS.register_module()
class RAFT(MotionEstimator):
    """RAFT flow from the query to each reference; loads the public checkpoints, never trained.

    The call graph::

        encode  > fnet                                   once per frame, stored in the bank
        forward > cnet, gru.prepare                      once per query
                > CorrelationPyramid                     once per pair
                > read > encoder > gru > flow_head       once per pair and iteration

    `state_dict` has the keys of the public checkpoints, without `module.`. Correlation and
    coordinates are float32 under autocast too.

    Args:
        variant: 'small' (990,162 parameters) or 'large' (5,257,536).
        iters_near: Iterations for references at most `far_gap` frames away.
        iters_far: Iterations for the others.
        far_gap: See above; MAMP has 15 on DAVIS and 5 on YouTube-VOS.
        checkpoint: Path of the weights, e.g. raft-small.pth; random weights if None.
        stride: Pixels per feature cell of the segmentor; divides 8.
        init_cfg: See mmengine's BaseModule.
    """

    example = dict(variant='small', iters_near=1, iters_far=2)

    def __init__(self, variant: str = 'small', iters_near: int = 2, *, iters_far: int = 5,
                 far_gap: int = 15, checkpoint: str | None = None, stride: int = 4,
                 init_cfg: dict | None = None) -> None:
        super().__init__(stride, init_cfg=init_cfg)
        if variant not in ('small', 'large'):
            raise ValueError(f"variant should be 'small' or 'large', got {variant!r}")
        if stride not in (1, 2, 4, 8):
            raise ValueError(f'stride of RAFT should divide 8, got {stride}')
        small = variant == 'small'
        self.iters_near, self.iters_far, self.far_gap = iters_near, iters_far, far_gap
        self.radius = 3 if small else 4
        self.hidden_channels, context = (96, 64) if small else (128, 128)
        widths = (32, 64, 96) if small else (64, 96, 128)
        self.fnet = Encoder(widths, 128 if small else 256, norm='instance', bottleneck=small)
        self.cnet = Encoder(widths, self.hidden_channels + context,
                            norm='none' if small else 'batch', bottleneck=small)
        self.update_block = UpdateBlock(LEVELS * (2 * self.radius + 1) ** 2, small=small)
        if checkpoint is not None:
            self.load_state_dict(read_weights(checkpoint, self.state_dict(), variant))
        self.requires_grad_(False).eval().to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> RAFT:
        """Stay in evaluation mode: the weights and statistics are those of the checkpoint."""
        return super().train(False)

    @torch.no_grad()
    def encode(self, frame: Frame) -> Tensor:
        """Matching features (B,Cm,ceil(H/8),ceil(W/8)) float32; Cm is 128 (small) or 256."""
        return self.fnet(self._image(frame)).float()

    @torch.no_grad()
    def forward(self, frame: Frame, ref_codes: Tensor, gaps: list[int],
                start: Tensor | None = None) -> Tensor:
        """Flow of every (query, reference) pair, bilinearly enlarged (align_corners=True)."""
        query = self.code(frame)
        context = self.cnet(self._image(frame))
        hidden, context = context.split((self.hidden_channels,
                                         context.shape[1] - self.hidden_channels), 1)
        state = torch.tanh(hidden), self.update_block.gru.prepare(torch.relu(context))
        batch, _, num, height, width = ref_codes.shape
        flow = torch.zeros(num, batch, 2, height, width, device=query.device)
        if start is not None:
            flow = self._from_cells(start, (height, width))
        for iters, far in ((self.iters_near, False), (self.iters_far, True)):
            members = [t for t, gap in enumerate(gaps) if (gap > self.far_gap) == far]
            if not members:
                continue
            refs = ref_codes[:, :, members].transpose(0, 2).transpose(1, 2).flatten(0, 1)
            flow[members] = self._iterate(query, refs, state, flow[members].flatten(0, 1),
                                          iters).unflatten(0, (len(members), batch))
        return self._to_cells(flow, self.grid_size(frame))

    def _image(self, frame: Frame) -> Tensor:
        """The frame in [-1,1], continued on the right and below to multiples of 8."""
        image = frame.image
        below, right = -image.shape[-2] % CELL, -image.shape[-1] % CELL
        if below or right:
            image = F.pad(image, (0, right, 0, below), mode='replicate')
        return (2 * image - 1).contiguous(memory_format=torch.channels_last)

    def _iterate(self, query: Tensor, refs: Tensor, state: tuple, flow: Tensor,
                 iters: int) -> Tensor:
        """Flow (N,2,h,w) in cells of 1/8 from the query, repeated, to N references, improved."""
        hidden, cells = state
        repeat = len(refs) // len(query)
        hidden, cells = _repeat(hidden, repeat), [(_repeat(c, repeat), *w) for c, *w in cells]
        with torch.autocast(refs.device.type, enabled=False):
            pyramid = CorrelationPyramid(_repeat(query, repeat), refs, levels=LEVELS,
                                         radius=self.radius)
        origin = _grid(refs)
        block = self.update_block
        for _ in range(iters):
            with torch.autocast(refs.device.type, enabled=False):
                corr = pyramid.read(origin + flow)
            hidden = block.gru(hidden, block.encoder(corr, flow), cells)
            flow = flow + block.flow_head(hidden).float()
        return flow

    def _from_cells(self, start: Tensor, size: tuple[int, int]) -> Tensor:
        """(B,T,2,h,w) in cells of `stride` pixels to (T,B,2,h8,w8) in cells of 8."""
        scale = CELL // self.stride
        fine = F.pad(start.flatten(0, 1), (0, size[1] * scale - start.shape[-1],
                                           0, size[0] * scale - start.shape[-2]), mode='replicate')
        coarse = F.interpolate(fine, size, mode='bilinear', align_corners=True)
        return (coarse / scale).unflatten(0, start.shape[:2]).transpose(0, 1)

    def _to_cells(self, flow: Tensor, size: tuple[int, int]) -> Tensor:
        """(T,B,2,h8,w8) in cells of 8 pixels to (B,T,2,h,w) in cells of `stride` pixels."""
        scale = CELL // self.stride
        num, _, _, height, width = flow.shape
        fine = F.interpolate(flow.flatten(0, 1), (height * scale, width * scale),
                             mode='bilinear', align_corners=True) * scale
        return fine[..., :size[0], :size[1]].unflatten(0, (num, -1)).transpose(0, 1)


def read_weights(path: str, expected: dict[str, Tensor], variant: str) -> dict[str, Tensor]:
    """Read a public RAFT checkpoint and compare it with the network.

    Args:
        path: Checkpoint file.
        expected: State dict of the network.
        variant: Its name, for the message.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds other objects than tensors, or the weights of another network.
    """
    if not Path(path).expanduser().is_file():
        raise FileNotFoundError(
            f'RAFT weights {path} do not exist; get them by download_models.sh of {PUBLIC} and set '
            "motion_estimator.checkpoint (--cfg-options model.motion_estimator.checkpoint=PATH), "
            "or choose motion_estimator=dict(type='DISFlow'), which needs none")
    state = load_checkpoint_file(path)
    if not isinstance(state, dict):
        raise ValueError(f'{path} does not hold the weights of RAFT but a {type(state).__name__}; '
                         f'get them by download_models.sh of {PUBLIC}')
    state = {key.removeprefix('module.'): value for key, value in state.items()}
    shapes = {k: tuple(v.shape) if isinstance(v, Tensor) else type(v) for k, v in state.items()}
    wrong = [key for key in {**expected, **state}
             if key not in expected or shapes.get(key) != tuple(expected[key].shape)]
    if wrong:
        other = 'large' if variant == 'small' else 'small'
        raise ValueError(
            f'{path} does not hold the weights of RAFT variant={variant!r}: {len(wrong)} entries '
            f'differ, first {", ".join(wrong[:3])}; try variant={other!r}')
    return state


def _repeat(x: Tensor, times: int) -> Tensor:
    """(B,...) to (times*B,...)."""
    return x if times == 1 else torch.cat([x] * times)


def _grid(x: Tensor) -> Tensor:
    """Positions (1,2,h,w) of the cells of x, xy, float32."""
    height, width = x.shape[-2:]
    ys, xs = torch.meshgrid(torch.arange(height, device=x.device, dtype=torch.float32),
                            torch.arange(width, device=x.device, dtype=torch.float32),
                            indexing='ij')
    return torch.stack([xs, ys])[None]
