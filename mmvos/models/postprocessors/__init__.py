"""What changes the probabilities of single frames after the network."""
from .dense_crf import DenseCRF

__all__ = ['DenseCRF']
