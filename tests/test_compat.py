"""What a checkpoint may ask for."""
import builtins
import pickle

import pytest
from mmengine.logging import HistoryBuffer
from torch.serialization import get_safe_globals

from mmvos.compat import _statistic, safe_globals


@pytest.mark.parametrize(('owner', 'name'), [
    (HistoryBuffer, '__init__'), (HistoryBuffer, '__globals__'), (getattr, '__self__')])
def test_getattr_reaches_nothing_but_statistics(owner, name):
    with pytest.raises(pickle.UnpicklingError):
        _statistic(owner, name)
    assert _statistic(HistoryBuffer, 'mean') is HistoryBuffer.mean


def test_real_getattr_is_never_allowed():
    with safe_globals():
        assert builtins.getattr not in get_safe_globals()
