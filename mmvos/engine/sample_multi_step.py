"""Learning-rate milestones counted in samples."""
from __future__ import annotations

from collections.abc import Sequence

from mmengine.optim import MultiStepLR
from mmengine.optim.scheduler.param_scheduler import INF
from torch.optim import Optimizer

from ..registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class SampleMultiStepLR(MultiStepLR):
    """Multiply the learning rate by `gamma` once more than so many samples were seen.

    MAST's and MAMP's papers count their milestones in iterations, the released code in samples;
    with batch 24 the first halving comes at iteration 16,667, after 400,008 samples.

    Args:
        optimizer: Optimizer or OptimWrapper.
        milestones: Increasing numbers of samples.
        samples_per_step: Samples of one optimizer step over all processes.
        gamma: Factor.
        **kwargs: See mmengine's MultiStepLR; `by_epoch` is False.
    """

    example: dict | None = None  # needs an optimizer

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], *, samples_per_step: int,
                 gamma: float = 0.5, **kwargs) -> None:
        # a Runner that sees no by_epoch in the config passes an `end` counted in epochs: 1
        kwargs.update(by_epoch=False, end=INF)
        steps = [milestone // samples_per_step + 1 for milestone in milestones]
        super().__init__(optimizer, milestones=steps, gamma=gamma, **kwargs)
