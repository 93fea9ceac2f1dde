"""Samplers."""
from .clip_sampler import ClipSampler

__all__ = ['ClipSampler']
