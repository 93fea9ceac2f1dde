"""STML: a vision transformer that looks at a frame, at earlier frames and at objects at once.

STMA (spatial-temporal multi-level association), section 3.2: one transformer block with shared
weights for three kinds of tokens, of which each sees a part only: objects see objects, a
reference sees itself and the objects, the test frame sees itself and the references.

The backbone is a ViT (Dosovitskiy et al., ICLR 2021, as MAE pre-trains it) or a ConvViT (Gao et
al., "ConvMAE", NeurIPS 2022), which has two convolutional stages before the transformer.

Where the text leaves it open: a block updates the three kinds at once from its input, so that what
an object says reaches the test frame one block later; references have no masks of their own.
"""
from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...registry import MODELS


class Tokens(NamedTuple):
    """The three streams."""

    objects: Tensor  # (B,K,C)
    references: Tensor  # (B,T,N,C)
    test: Tensor  # (B,N,C)


class StreamAttention(nn.Module):
    """Attention in which each kind of token sees a part of all (section 3.2).

    Args:
        channels: C.
        heads: Of C / heads channels each.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, tokens: Tokens, valid: Tensor) -> Tokens:
        """Attend; `valid` (B,K) is False for objects that nobody may see."""
        (qo, ko, vo), (qr, kr, vr), (qt, kt, vt) = (
            self.split(x) for x in (tokens.objects, tokens.references.flatten(0, 1), tokens.test))
        batch, count, cells = tokens.references.shape[:3]
        objects = attend(qo, ko, vo, seen_by_objects(valid))
        ko, vo = (x.repeat_interleave(count, 0) for x in (ko, vo))
        seen = F.pad(valid, (cells, 0), value=True).repeat_interleave(count, 0)[:, None, None]
        references = attend(qr, torch.cat([kr, ko], 2), torch.cat([vr, vo], 2), seen)
        kr, vr = (x.unflatten(0, (batch, count)).transpose(1, 2).flatten(2, 3) for x in (kr, vr))
        test = attend(qt, torch.cat([kt, kr], 2), torch.cat([vt, vr], 2))
        return Tokens(self.merge(objects), self.merge(references).unflatten(0, (batch, count)),
                      self.merge(test))

    def split(self, x: Tensor) -> Tensor:
        """Queries, keys and values (3,B,heads,N,d) of (B,N,C)."""
        return self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)

    def merge(self, x: Tensor) -> Tensor:
        """(B,N,C) of (B,heads,N,d)."""
        return self.proj(x.transpose(1, 2).flatten(2))

    @staticmethod
    def products(cells: int, references: int, objects: int) -> int:
        """Pairs of tokens that are compared: K^2 + T N (N + K) + N (T + 1) N."""
        return objects**2 + references * cells * (cells + objects) + cells**2 * (references + 1)


class JointAttention(StreamAttention):
    """All tokens see all tokens (the ablation "joint self-attention")."""

    def forward(self, tokens: Tokens, valid: Tensor) -> Tokens:
        """See `StreamAttention.forward`."""
        objects, references, test = tokens
        everything = torch.cat([test, references.flatten(1, 2), objects], 1)
        others = everything.shape[1] - objects.shape[1]
        seen = F.pad(valid, (others, 0), value=True)[:, None, None]
        q, k, v = self.split(everything)
        found = self.merge(attend(q, k, v, seen))
        test, references, objects = found.split(
            [test.shape[1], others - test.shape[1], objects.shape[1]], 1)
        return Tokens(objects, references.unflatten(1, tokens.references.shape[1:3]), test)

    @staticmethod
    def products(cells: int, references: int, objects: int) -> int:
        """Pairs of tokens that are compared: ((T + 1) N + K)^2."""
        return ((references + 1) * cells + objects)**2


def attend(query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None = None) -> Tensor:
    """Softmax attention (B,heads,N,d); `seen` (B,1,N or 1,M) bool is False for hidden keys."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask=seen)


def seen_by_objects(valid: Tensor) -> Tensor:
    """(B,1,K,K): every object sees the valid ones and, so that it sees something, itself."""
    itself = torch.eye(valid.shape[1], dtype=torch.bool, device=valid.device)
    return (valid[:, None] | itself)[:, None]


class STMLBlock(nn.Module):
    """Pre-norm transformer block with weights that the three kinds of tokens share.

    Args:
        channels: C.
        heads: See `StreamAttention`.
        attention: `StreamAttention` or `JointAttention`.
    """

    def __init__(self, channels: int, heads: int,
                 attention: type[StreamAttention] = StreamAttention) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = attention(channels, heads)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(),
                                 nn.Linear(4 * channels, channels))

    def forward(self, tokens: Tokens, valid: Tensor) -> Tokens:
        """Update all tokens from what they were before the block."""
        change = self.attn(Tokens(*(self.norm1(x) for x in tokens)), valid)
        tokens = Tokens(*(x + dx for x, dx in zip(tokens, change, strict=True)))
        return Tokens(*(x + self.mlp(self.norm2(x)) for x in tokens))


class STML(BaseModule):
    """What `ViTSTML` and `ConvViTSTML` share: the transformer.

    The call graph::

        embed   > stem, positions                     tokens of a frame, and finer maps
        forward > blocks(objects, references, test) > norm
        skips                                         maps at 1/4 and 1/8

    Position embeddings are exact for a grid of 14x14 cells, or that of loaded weights; for other
    sizes they are interpolated.

    Args:
        channels: C.
        depth: Blocks.
        heads: See `StreamAttention`.
        init_cfg: See mmengine's BaseModule.
    """

    attention = StreamAttention
    stride = 16

    def __init__(self, channels: int, depth: int, *, heads: int,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if channels % heads or channels % 4:
            raise ValueError(f'expected channels in multiples of 4 and of {heads} heads, got '
                             f'{channels}')
        self.channels = channels
        self.register_buffer('positions', sine_positions(channels, 14, 14))
        self.register_load_state_dict_pre_hook(before_load)
        self.blocks = nn.ModuleList(STMLBlock(channels, heads, self.attention)
                                    for _ in range(depth))
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        for module in self.modules():  # as MAE has it
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def embed(self, image: Tensor) -> tuple[Tensor, ...]:
        """Maps that the stem gives, the last (B,C,h,w) with positions: tokens of a frame.

        They are what a memory keeps of a reference: neither masks nor objects enter them.

        Raises:
            ValueError: A side of the image (B,3,H,W) is no multiple of 16.
        """
        if image.shape[-2] % self.stride or image.shape[-1] % self.stride:
            raise ValueError(f'{type(self).__name__}: expected sides in multiples of '
                             f'{self.stride}, got {tuple(image.shape[-2:])}; set '
                             f'geometry.divisor={self.stride} of the model, or crop clips to such '
                             'a size')
        *maps, x = self.stem(image)
        return *maps, x + fit_positions(self.positions, x.shape[-2:])

    @abstractmethod
    def stem(self, image: Tensor) -> tuple[Tensor, ...]:
        """Maps of (B,3,H,W), the last at 1/16."""

    @abstractmethod
    def skips(self, maps: tuple[Tensor, ...], x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps at 1/4 and 1/8 for a decoder, of the stem's maps and the result of `forward`."""

    def forward(self, test: Tensor, references: Tensor, objects: Tensor,
                valid: Tensor) -> tuple[Tensor, Tensor]:
        """Associate a frame with references and objects.

        Args:
            test: (B,C,h,w) of `embed`.
            references: (B,C,T,h,w) of `embed`; T may be 0.
            objects: (B,K,C); K may be 0.
            valid: (B,K) bool.

        Returns:
            The frame's map (B,C,h,w) and the objects (B,K,C).
        """
        size = test.shape[-2:]
        tokens = Tokens(objects, references.flatten(3).permute(0, 2, 3, 1), test.flatten(2).mT)
        for block in self.blocks:
            tokens = block(tokens, valid)
        return self.norm(tokens.test).mT.unflatten(2, size), tokens.objects


@MODELS.register_module()
class ViTSTML(STML):
    """A plain ViT: patches of 16x16; finer maps by transposed convolutions of the result.

    Args:
        channels: See `STML`.
        depth: See `STML`.
        heads: See `STML`.
        fine_channels: Of the maps at 1/4 and 1/8.
        **kwargs: `init_cfg`.
    """

    example = dict(channels=16, depth=2, heads=2, fine_channels=(4, 8))

    def __init__(self, channels: int = 768, depth: int = 12, *, heads: int = 12,
                 fine_channels: tuple[int, int] = (256, 512), **kwargs) -> None:
        super().__init__(channels, depth, heads=heads, **kwargs)
        self.patch_embed = nn.Conv2d(3, channels, 16, 16)
        self.to_8 = nn.ConvTranspose2d(channels, fine_channels[1], 2, 2)
        self.to_4 = nn.Sequential(
            nn.ConvTranspose2d(channels, channels, 2, 2), LayerNorm2d(channels), nn.GELU(),
            nn.ConvTranspose2d(channels, fine_channels[0], 2, 2))

    def stem(self, image: Tensor) -> tuple[Tensor, ...]:
        """Patches (B,C,h,w) of (B,3,H,W)."""
        return (self.patch_embed(image),)

    def skips(self, maps: tuple[Tensor, ...], x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps at 1/4 and 1/8 for a decoder."""
        return self.to_4(x), self.to_8(x)


@MODELS.register_module()
class ConvViTSTML(STML):
    """Two convolutional stages, which give the finer maps, then the transformer.

    Args:
        channels: See `STML`.
        depth: See `STML`.
        heads: See `STML`.
        fine_channels: Of the stages at 1/4 and 1/8.
        fine_depth: Blocks of each of them.
        **kwargs: `init_cfg`.
    """

    example = dict(channels=16, depth=2, heads=2, fine_channels=(4, 8))

    def __init__(self, channels: int = 768, depth: int = 11, *, heads: int = 12,
                 fine_channels: tuple[int, int] = (256, 384), fine_depth: int = 2,
                 **kwargs) -> None:
        super().__init__(channels, depth, heads=heads, **kwargs)
        widths, strides = (3, *fine_channels, channels), (4, 2, 2)
        self.patch_embed = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, step, step), LayerNorm2d(after), nn.GELU())
            for before, after, step in zip(widths, widths[1:], strides, strict=False))
        self.stages = nn.ModuleList(
            nn.Sequential(*(ConvBlock(width) for _ in range(fine_depth)))
            for width in fine_channels)
        self.last_embed = nn.Linear(channels, channels)

    def stem(self, image: Tensor) -> tuple[Tensor, ...]:
        """Maps at 1/4, 1/8 and 1/16 of (B,3,H,W)."""
        first, second, third = self.patch_embed
        at_4 = self.stages[0](first(image))
        at_8 = self.stages[1](second(at_4))
        return at_4, at_8, self.last_embed(third(at_8).movedim(1, -1)).movedim(-1, 1)

    def skips(self, maps: tuple[Tensor, ...], x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps at 1/4 and 1/8 for a decoder."""
        return maps[0], maps[1]


@MODELS.register_module()
class JointViTSTML(ViTSTML):
    """`ViTSTML` in which all tokens see all tokens."""

    attention = JointAttention


@MODELS.register_module()
class JointConvViTSTML(ConvViTSTML):
    """`ConvViTSTML` in which all tokens see all tokens."""

    attention = JointAttention


class ConvBlock(nn.Module):
    """A transformer block whose attention is a 5x5 convolution of single channels (ConvMAE)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            LayerNorm2d(channels), nn.Conv2d(channels, channels, 1),
            nn.Conv2d(channels, channels, 5, padding=2, groups=channels),
            nn.Conv2d(channels, channels, 1))
        self.mlp = nn.Sequential(
            LayerNorm2d(channels), nn.Conv2d(channels, 4 * channels, 1), nn.GELU(),
            nn.Conv2d(4 * channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,h,w) -> (B,C,h,w)."""
        x = x + self.mix(x)
        return x + self.mlp(x)


def sine_positions(channels: int, height: int, width: int) -> Tensor:
    """(1,C,h,w) fixed embedding: half of the channels say the column, half the row (MAE)."""
    omega = 10000 ** -(torch.arange(channels // 4, dtype=torch.float64) / (channels // 4))
    rows, columns = (torch.arange(n, dtype=torch.float64)[:, None] * omega
                     for n in (height, width))
    row, column = (torch.cat([x.sin(), x.cos()], 1) for x in (rows, columns))
    both = torch.cat([column[None].expand(height, -1, -1), row[:, None].expand(-1, width, -1)], 2)
    return both.permute(2, 0, 1)[None].float()


def before_load(module: STML, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Refuse weights of other networks; have positions of the size that these bring.

    Raises:
        ValueError: Weights that a pre-trained network has are missing; loaders of checkpoints would
            only warn, and the backbone would begin anew.
    """
    missing = [name for name in module.state_dict()
               if prefix + name not in state and not name.startswith(('to_4.', 'to_8.'))]
    if missing:
        raise ValueError(f'no weights of {type(module).__name__}: {len(missing)} are missing, '
                         f'first {prefix}{missing[0]}; convert those of MAE, MoCo-v3 and ConvMAE '
                         'with tools/model_converters/mae_to_mmvos.py (ViT for ViTSTML, ConvViT '
                         'for ConvViTSTML)')
    found = state[prefix + 'positions']
    if found.shape[:2] == module.positions.shape[:2]:
        module.positions = module.positions.new_empty(found.shape)


def fit_positions(positions: Tensor, size: torch.Size) -> Tensor:
    """Positions for a map of another size."""
    if positions.shape[-2:] == size:
        return positions
    return F.interpolate(positions, size, mode='bicubic', align_corners=False)


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of (B,C,h,w)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each pixel."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
