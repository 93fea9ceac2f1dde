"""Functions on tensors."""
from .color import rgb_to_lab
from .upsample import UPSAMPLE, upsample_half_pixel, upsample_kernel_centre
from .warp import warp

__all__ = ['UPSAMPLE', 'rgb_to_lab', 'upsample_half_pixel', 'upsample_kernel_centre', 'warp']
