"""Memory managers."""
from .base import MemoryItem, MemoryManager
from .frame_bank import FrameBank

__all__ = ['FrameBank', 'MemoryItem', 'MemoryManager']
