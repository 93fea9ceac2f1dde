"""Fakes and contract checks, for the tests of mmvos and of plugins."""
from .contracts import contract_cases, contracts, registered
from .fakes import FakeBackbone, FakeVideo, fake_frames

__all__ = [
    'FakeBackbone', 'FakeVideo', 'contract_cases', 'contracts', 'fake_frames', 'registered'
]
