"""Memory managers."""
from .adaptive_bank import AdaptiveBank
from .base import MemoryManager
from .element_bank import ElementBank
from .frame_bank import FrameBank
from .frame_memory import FrameMemory, MemoryItem
from .usage_bank import UsageBank

__all__ = [
    'AdaptiveBank', 'ElementBank', 'FrameBank', 'FrameMemory', 'MemoryItem', 'MemoryManager',
    'UsageBank'
]
