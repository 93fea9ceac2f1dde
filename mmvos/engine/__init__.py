"""What runs around a model: hooks, optimizer wrapper, scheduler."""
from .bf16_optim_wrapper import BF16OptimWrapper
from .hooks import FrameProgressHook, MaskWriterHook, RNGStateHook
from .sample_multi_step import SampleMultiStepLR

__all__ = ['BF16OptimWrapper', 'FrameProgressHook', 'MaskWriterHook', 'RNGStateHook',
           'SampleMultiStepLR']
