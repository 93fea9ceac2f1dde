"""Functions on tensors; `python -m mmvos.ops` tells which of them run compiled here."""
from .color import normalize_imagenet, rgb_to_lab
from .hard_labels import hard_labels
from .local_correlation import local_correlation
from .local_propagation import local_propagation
from .soft_aggregate import aggregate_logits, soft_aggregate
from .upsample import UPSAMPLE, upsample_half_pixel, upsample_kernel_centre
from .warp import warp

__all__ = ['UPSAMPLE', 'aggregate_logits', 'hard_labels', 'local_correlation', 'local_propagation',
           'normalize_imagenet', 'rgb_to_lab',
           'soft_aggregate', 'upsample_half_pixel', 'upsample_kernel_centre', 'warp']
