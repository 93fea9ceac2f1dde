"""MMEngine metrics."""
from .vos import VOSMetric

__all__ = ['VOSMetric']
