"""Fakes and contract checks, for the tests of mmvos and of plugins."""
from .contracts import contracts, contracts_of, registered
from .fakes import FakeBackbone, FakeVideo, fake_frames

__all__ = [
    'FakeBackbone', 'FakeVideo', 'contracts', 'contracts_of', 'fake_frames', 'registered'
]
