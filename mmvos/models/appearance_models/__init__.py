"""What an object looks like, remembered in closed form."""
from .gaussian import (
    FixedAppearance,
    GaussianAppearance,
    SoftmaxAppearance,
    UnimodalAppearance,
    base_weights,
)

__all__ = ['FixedAppearance', 'GaussianAppearance', 'SoftmaxAppearance', 'UnimodalAppearance',
           'base_weights']
