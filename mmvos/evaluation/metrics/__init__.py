"""MMEngine metrics."""
from .davis import DAVISMetric

__all__ = ['DAVISMetric']
