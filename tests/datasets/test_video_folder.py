"""Unlabelled videos: the cache holds what was decoded."""
import pickle

import cv2
import numpy as np
import pytest

from mmvos.datasets import VideoFolder
from mmvos.io import InputError, VideoWriter


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (6, 40, 64, 3), np.uint8)
    folder = tmp_path / 'videos' / 'frames'
    folder.mkdir(parents=True)
    for index, frame in enumerate(frames):
        cv2.imwrite(str(folder / f'{index:05d}.png'), frame[..., ::-1])
    with VideoWriter(tmp_path / 'videos' / 'clip.mp4', 24, (40, 64)) as writer:
        for frame in frames:
            writer.write(frame)
    return tmp_path / 'videos', frames


def test_cache_holds_the_resized_frames(root, tmp_path):
    folder, frames = root
    data = VideoFolder([str(folder)], str(tmp_path / 'cache'), short_side=20)
    clip, images = data.videos
    assert (clip.name, images.name) == ('clip', 'frames')
    assert images.size == (20, 32)
    assert len(clip) == len(images) == 6
    expected = cv2.resize(frames[3], (32, 20), interpolation=cv2.INTER_AREA)
    assert np.array_equal(images.read(3), expected)


def test_videos_are_decoded_once(root, tmp_path):
    folder, _ = root
    data = VideoFolder([str(folder)], str(tmp_path / 'cache'), short_side=20)
    _ = data.videos
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'cache').iterdir()}
    again = pickle.loads(pickle.dumps(data)).videos
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / 'cache').iterdir()} == before
    assert pickle.loads(pickle.dumps(again[1])).read(0).shape == (20, 32, 3)


def test_exclude(root, tmp_path):
    data = VideoFolder([str(root[0])], str(tmp_path / 'cache'), exclude=['clip'])
    assert [video.name for video in data.videos] == ['frames']
    with pytest.raises(FileNotFoundError, match='exclude'):
        VideoFolder([str(root[0])], str(tmp_path / 'cache'), exclude=['clip', 'frames'])


def test_absent_and_empty_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match='roots'):
        VideoFolder([str(tmp_path / 'nowhere')], str(tmp_path / 'cache'))
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputError, match='neither'):
        VideoFolder([str(tmp_path / 'empty')], str(tmp_path / 'cache'))
