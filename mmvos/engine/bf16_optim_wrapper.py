"""bfloat16 autocast on any device."""
from __future__ import annotations

from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from ..registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class BF16OptimWrapper(OptimWrapper):
    """OptimWrapper whose forward runs under bfloat16 autocast, on CPUs too.

    bfloat16 has float32's range, so no loss scaling is needed; MMEngine's AmpOptimWrapper brings
    a gradient scaler and refuses CPUs.

    Args:
        **kwargs: See mmengine's OptimWrapper.
    """

    example: dict | None = None  # needs an optimizer

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Autocast on the device of the model's parameters."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield
