"""Training loops."""
from .alternating import AlternatingLoop
from .effective_batch import EffectiveBatchLoop

__all__ = ['AlternatingLoop', 'EffectiveBatchLoop']
