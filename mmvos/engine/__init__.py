"""What runs around a model: loops, hooks, optimizer wrapper, scheduler."""
from .bf16_optim_wrapper import BF16OptimWrapper
from .hooks import FrameProgressHook, MaskWriterHook, RNGStateHook
from .loops import AlternatingLoop, EffectiveBatchLoop
from .runner import VOSRunner
from .sample_multi_step import SampleMultiStepLR

__all__ = ['AlternatingLoop', 'BF16OptimWrapper', 'EffectiveBatchLoop', 'FrameProgressHook',
           'MaskWriterHook', 'RNGStateHook', 'SampleMultiStepLR', 'VOSRunner']
