"""Videos read backwards."""
import numpy as np
import pytest

from mmvos.structures import Backwards, video
from mmvos.testing import FakeVideo


@pytest.mark.parametrize(('start', 'group'), [(10, 4), (7, 4), (3, 4), (0, 4), (10, 1), (10, 16)])
def test_frames_come_in_reverse(start, group, monkeypatch):
    monkeypatch.setattr(video, '_GROUP', group)
    forward = FakeVideo(11)
    forward.background = np.arange(33 * 47 * 3).reshape(33, 47, 3).astype(np.uint8)
    view = Backwards(forward, start)
    expected = [forward.read(t) for t in range(start, -1, -1)]
    assert len(view) == start + 1
    assert view.frame_names == forward.frame_names[start::-1]
    for first in (0, start):
        found = list(view.frames(first))
        assert len(found) == start + 1 - first
        assert all(map(np.array_equal, found, expected[first:]))
    assert np.array_equal(view.read(0), expected[0])
    assert view.size == forward.size


def test_each_frame_is_decoded_once(monkeypatch):
    monkeypatch.setattr(video, '_GROUP', 4)
    forward, read = FakeVideo(11), []
    decode = forward.read
    forward.read = lambda index: (read.append(index), decode(index))[1]
    assert len(list(Backwards(forward, 9).frames())) == 10
    # the threads that read ahead may be a few frames further when a group is complete
    assert set(range(10)) <= set(read)
    assert len(read) <= 10 + 3 * 5
