"""A fully connected CRF: masks follow the edges of the image.

Kraehenbuehl, Koltun, "Efficient inference in fully connected CRFs with Gaussian edge potentials",
NIPS 2011, computed by their code (`pydensecrf2`). Defaults are those with which COSNet (Lu et al.,
CVPR 2019) was released; of the grid that its script tries, the middle.
"""
from __future__ import annotations

from types import ModuleType

import numpy as np
from torch import nn

from ...registry import MODELS

LEAST = 1e-5  # probability: a network that is too sure leaves the CRF something to weigh


@MODELS.register_module()
class DenseCRF(nn.Module):
    """Probabilities of a frame that agree between neighbours, and between pixels of one colour.

    The released code of COSNet first stretches the probabilities of each frame to [0,1], which
    paints an object into frames that show none, and divides by zero where a map is constant; here
    they stay as they are.

    Args:
        iterations: Of mean field.
        smooth: (sigma in pixels, weight) of the kernel of places.
        bilateral: (sigma in pixels, sigma of colours in [0,255], weight) of that of places and
            colours.

    Raises:
        ImportError: `pydensecrf2` is not installed.
    """

    example = dict(iterations=2)

    def __init__(self, iterations: int = 5, *, smooth: tuple[float, float] = (1., 5.),
                 bilateral: tuple[float, float, float] = (15., 7., 9.)) -> None:
        super().__init__()
        _library()
        if iterations < 1 or len(smooth) != 2 or len(bilateral) != 3:
            raise ValueError('DenseCRF: expected iterations >= 1, two numbers for smooth and three '
                             f'for bilateral, got {iterations}, {smooth} and {bilateral}')
        self.iterations = iterations
        self.smooth = smooth
        self.bilateral = bilateral

    def forward(self, image: np.ndarray, probs: np.ndarray) -> np.ndarray:
        """Refine one frame.

        Args:
            image: (H,W,3) RGB uint8.
            probs: (C,H,W) float32, summing to one.

        Returns:
            (C,H,W) float32, summing to one.
        """
        library, (channels, height, width) = _library(), probs.shape
        crf = library.DenseCRF2D(width, height, channels)
        crf.setUnaryEnergy(np.ascontiguousarray(
            -np.log(probs.clip(LEAST, 1)).reshape(channels, -1), np.float32))
        kind = dict(kernel=library.DIAG_KERNEL, normalization=library.NORMALIZE_SYMMETRIC)
        sxy, compat = self.smooth
        crf.addPairwiseGaussian(sxy=sxy, compat=compat, **kind)
        sxy, srgb, compat = self.bilateral
        crf.addPairwiseBilateral(sxy=sxy, srgb=srgb, rgbim=np.ascontiguousarray(image),
                                 compat=compat, **kind)
        found = np.array(crf.inference(self.iterations), np.float32)
        return found.reshape(channels, height, width)


def _library() -> ModuleType:
    try:
        from pydensecrf import densecrf  # an extra, compiled from source
    except ImportError as error:
        raise ImportError("DenseCRF needs pydensecrf2; type: pip install 'mmvos[crf]' (this "
                          'compiles it), or leave the postprocessor out') from error
    return densecrf
