"""What the rendered demo input holds, and its errors."""
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from mmvos.datasets.synthetic import SyntheticVideo
from mmvos.io import VideoReader, read_mask

SCRIPT = Path(__file__).resolve().parents[2] / 'demo' / 'render_synthetic.py'


def render(monkeypatch, *args):
    monkeypatch.setattr(sys, 'argv', [str(SCRIPT), *map(str, args)])
    runpy.run_path(str(SCRIPT), run_name='__main__')


def test_video_and_first_mask(tmp_path, monkeypatch):
    render(monkeypatch, tmp_path, '--frames', 3, '--height', 40, '--width', 56, '--seed', 4)
    video = SyntheticVideo(4, 0, length=3, size=(40, 56), num_objects=3)
    assert np.array_equal(read_mask(tmp_path / 'mask.png'), video.labels(0))
    with VideoReader(tmp_path / 'video.mp4') as reader:
        assert (len(reader), reader.size) == (3, (40, 56))


@pytest.mark.parametrize(('out', 'frames', 'text'), [
    ('file/x', 1, 'error: cannot write'), ('out', 0, 'error: '), ('out', 1, 'interrupted')])
def test_mistakes_are_one_line(tmp_path, monkeypatch, capsys, out, frames, text):
    def interrupt(*args):
        raise KeyboardInterrupt
    (tmp_path / 'file').touch()
    if text == 'interrupted':
        monkeypatch.setattr('mmvos.io.video.VideoWriter.write', interrupt)
    with pytest.raises(SystemExit) as stop:
        render(monkeypatch, tmp_path / out, '--frames', frames, '--height', 40, '--width', 56)
    assert stop.value.code == (130 if text == 'interrupted' else 2)
    err = capsys.readouterr().err
    assert err.startswith(text)
    assert err.count('\n') == 1
