"""From feature cells to pixels."""
import torch.nn.functional as F
from torch import Tensor


def upsample_half_pixel(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear with align_corners=False: cell i of stride S is drawn at pixel S*i + (S-1)/2.

    This is what the released MAST and MAMP do; kernels are centred at S*i, so masks drift by
    (S-1)/2 pixels towards the bottom right.

    Args:
        x: (B,C,h,w).
        size: (H, W).
    """
    return F.interpolate(x, size, mode='bilinear', align_corners=False)


def upsample_kernel_centre(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear with cell i drawn exactly at its kernel's centre, pixel S*i; the rim repeats.

    Args:
        x: (B,C,h,w).
        size: (H, W), with S = ceil(H / h) = ceil(W / w) pixels a cell.
    """
    (height, width), (h, w) = size, x.shape[-2:]
    stride = -(-height // h)
    x = F.interpolate(x, (stride * (h - 1) + 1, stride * (w - 1) + 1), mode='bilinear',
                      align_corners=True)
    return F.pad(x, (0, width - x.shape[3], 0, height - x.shape[2]), mode='replicate')


UPSAMPLE = {'half_pixel': upsample_half_pixel, 'kernel_centre': upsample_kernel_centre}
