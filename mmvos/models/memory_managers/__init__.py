"""Memory managers."""
from .adaptive_bank import AdaptiveBank
from .base import MemoryManager
from .frame_bank import FrameBank
from .frame_memory import FrameMemory, MemoryItem

__all__ = ['AdaptiveBank', 'FrameBank', 'FrameMemory', 'MemoryItem', 'MemoryManager']
