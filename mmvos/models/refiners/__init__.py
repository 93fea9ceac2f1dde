"""Second passes over whole videos."""
from .base import Refiner
from .online_adaptation import OnlineAdaptation

__all__ = ['OnlineAdaptation', 'Refiner']
