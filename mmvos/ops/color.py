"""Colour spaces."""
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

# sRGB (D65) to XYZ, divided by the white point
_XYZ = ((0.412453 / 0.950456, 0.357580 / 0.950456, 0.180423 / 0.950456),
        (0.212671, 0.715160, 0.072169),
        (0.019334 / 1.088754, 0.119193 / 1.088754, 0.950227 / 1.088754))
_LATTICE = 33
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalize_imagenet(image: Tensor) -> Tensor:
    """Return (B,3,H,W) RGB in [0,1] with the mean and standard deviation of ImageNet removed."""
    mean, std = (image.new_tensor(values)[:, None, None]
                 for values in (_IMAGENET_MEAN, _IMAGENET_STD))
    return (image - mean) / std


def rgb_to_lab(image: Tensor) -> Tensor:
    """Convert to CIE Lab, scaled to about [-1, 1]: ((L-50)/50, a/127, b/127).

    Gives what OpenCV's float conversion gives, which released MAST and MAMP models were trained
    with: each channel is cut to 9 bits, then the exact conversion is interpolated on a lattice of
    33^3 colours. The error of that, up to 0.005 in these units, is part of what they know.

    Args:
        image: (B,3,H,W) RGB in [0,1].

    Returns:
        (B,3,H,W) float32, or float64 for float64 images.
    """
    with torch.autocast(image.device.type, enabled=False):
        image = image if image.dtype == torch.float64 else image.float()
        image = (image * 2**14).round_().div_(32).floor_().div_(512)
        grid = (2 * image - 1).movedim(1, -1)[:, None]  # B,1,H,W,3; x walks R, y G, z B
        table = _lattice(image.device, image.dtype).expand(len(image), -1, -1, -1, -1)
        return F.grid_sample(table, grid, align_corners=True, padding_mode='border')[:, :, 0]


@lru_cache(maxsize=8)
def _lattice(device: torch.device, dtype: torch.dtype) -> Tensor:
    """(1,3,33,33,33): normalised Lab at every (B, G, R) of the lattice."""
    axis = torch.linspace(0, 1, _LATTICE, dtype=torch.float64)
    blue, green, red = torch.meshgrid(axis, axis, axis, indexing='ij')
    return rgb_to_lab_exact(torch.stack([red, green, blue])[None]).to(device, dtype)


def rgb_to_lab_exact(image: Tensor) -> Tensor:
    """The closed form behind `rgb_to_lab` (CIE 1976, D65, sRGB linearisation).

    Args:
        image: (B,3,...) RGB in [0,1].
    """
    linear = torch.where(image > 0.04045, ((image + 0.055) / 1.055).clamp_min(0) ** 2.4,
                         image / 12.92)
    xyz = torch.einsum('oc,bc...->bo...', linear.new_tensor(_XYZ), linear)
    f = torch.where(xyz > 0.008856, xyz.clamp_min(1e-8) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(1)
    return torch.stack([(116 * y - 66) / 50, 500 * (x - y) / 127, 200 * (y - z) / 127], 1)
