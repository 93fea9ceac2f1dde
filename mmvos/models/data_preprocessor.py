"""From the loader to the model."""
from __future__ import annotations

import torch
from mmengine.model import BaseDataPreprocessor

from ..registry import MODELS


@MODELS.register_module()
class VOSDataPreprocessor(BaseDataPreprocessor):
    """Training clips become (B,T,3,H,W) RGB in [0,1] on the device; test videos pass untouched.

    Networks normalise their own input, so this has no mean and no deviation.
    """

    example: dict = {}

    def forward(self, data: dict, training: bool = False) -> dict:
        """Stack clips and scale them.

        Args:
            data: `inputs`, a list of clips (T,3,H,W) uint8 or of VideoSource, and `data_samples`.
            training: Not used; the kind of `inputs` decides.

        Raises:
            ValueError: Clips have different shapes.
        """
        inputs = data['inputs']
        if isinstance(inputs[0], torch.Tensor):
            sizes = sorted({tuple(clip.shape) for clip in inputs})
            if len(sizes) > 1:
                raise ValueError(f'clips of a batch have different shapes, {sizes}; end the '
                                 'pipeline with ResizeClip, RandomCropClip or CropAroundObject')
            clips = torch.stack([clip.to(self.device) for clip in inputs])
            inputs = clips.float() / 255
        return dict(inputs=inputs, data_samples=data.get('data_samples'))
