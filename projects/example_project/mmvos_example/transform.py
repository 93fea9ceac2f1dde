"""A transform of whole clips."""
from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform

from .registry import TRANSFORMS


@TRANSFORMS.register_module()
class BrightnessClip(BaseTransform):
    """Multiply all frames of a clip by one random factor.

    Every draw comes from `results['rng']`, which is seeded for this sample: so a resumed training
    sees what an uninterrupted one would have seen.

    Args:
        amount: The factor lies in [1 - amount, 1 + amount].
    """

    example = dict(amount=0.2)

    def __init__(self, amount: float = 0.2) -> None:
        self.amount = amount

    def transform(self, results: dict) -> dict:
        """Change `frames`, a list of (H,W,3) uint8."""
        factor = results['rng'].uniform(1 - self.amount, 1 + self.amount)
        results['frames'] = [np.clip(frame * factor, 0, 255).astype(np.uint8)
                             for frame in results['frames']]
        return results
