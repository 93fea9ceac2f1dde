"""Training with masks: the frames of a clip go through the verbs of inference."""
from __future__ import annotations

from abc import ABC

import torch
from torch import Tensor

from ...registry import MODELS
from ...structures import Frame, VOSDataSample, true_masks
from .base import VideoSegmentor


class SupervisedSegmentor(VideoSegmentor, ABC):
    """A segmentor whose `loss` unrolls its verbs over clips with masks.

    The objects of a clip are given on its first frame; every later frame is segmented, compared
    with its mask and memorised as it was predicted.

    Args:
        detach: Cut the gradient at predicted masks that are memorised (STM's second stage does,
            its first does not).
        loss: Config or module: (probabilities (1,K+1,H,W), one-hot target) -> scalar; None for a
            model that is only tested.
        **kwargs: See `VideoSegmentor`.
    """

    def __init__(self, *, detach: bool = False, loss: dict | torch.nn.Module | None = None,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        self.detach = detach
        self.loss_module = loss and MODELS.build(loss)

    def loss(self, inputs: Tensor, data_samples: list[VOSDataSample]) -> dict[str, Tensor]:
        """Mean loss over the frames after the first.

        Args:
            inputs: (B,T,3,H,W) RGB in [0,1].
            data_samples: Each with `gt_masks` (T,H,W) uint8, ids 1 to n; the first frame shows all
                of them.

        Returns:
            'loss', a scalar.

        Raises:
            ValueError: The model has no loss, or a clip has one frame or no object.
        """
        if self.loss_module is None:
            raise ValueError(f'{type(self).__name__} has no loss to train with; give it loss=...')
        labels = true_masks(data_samples, inputs.device)
        counts = labels[:, 0].flatten(1).amax(1).tolist()
        if inputs.shape[1] < 2 or not min(counts):
            raise ValueError('expected clips of 2 frames or more with an object on the first, got '
                             f'{inputs.shape[1]} frames and {counts} objects; correct the dataset')
        seen = [labels[b, 0].unique().count_nonzero().item() for b in range(len(labels))]
        if seen != counts or labels.flatten(1).amax(1).tolist() != counts:
            raise ValueError('expected gt_masks whose first frame shows all ids, 1 to n; add '
                             'ChooseObjects to the pipeline, after all that crops or moves')
        ids = torch.arange(max(counts) + 1, device=inputs.device)[:, None, None]
        state, losses = self.init_state(None), []
        for t in range(inputs.shape[1]):
            target = (labels[:, t, None] == ids).to(inputs.dtype)
            if t == 0:
                valid = ids[1:, 0, 0] <= torch.tensor(counts, device=inputs.device)[:, None]
                self.step(Frame(0, inputs[:, 0], target[:, 1:], valid, valid), state)
                continue
            frame = Frame(t, inputs[:, t])
            probs = self.segment(frame, state).softmax(1)
            losses += self.frame_losses(frame, probs, target, counts)
            self.memorize(frame, probs.detach() if self.detach else probs, state)
        return dict(loss=torch.stack(losses).mean())

    def frame_losses(self, frame: Frame, probs: Tensor, target: Tensor,
                     counts: list[int]) -> list[Tensor]:
        """Return the loss of each sample on one frame.

        Args:
            frame: The frame, with what `segment` cached on it.
            probs: (B,K+1,H,W).
            target: (B,K+1,H,W) one-hot.
            counts: Objects of each sample, at most K.
        """
        return [self.loss_module(probs[b:b + 1, :n + 1], target[b:b + 1, :n + 1])
                for b, n in enumerate(counts)]
