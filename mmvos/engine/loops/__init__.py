"""Training loops."""
from .effective_batch import EffectiveBatchLoop

__all__ = ['EffectiveBatchLoop']
