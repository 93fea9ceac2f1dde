"""Unlabelled videos: the cache holds what was decoded."""
import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mmvos.datasets import ClipDataset, VideoFolder
from mmvos.io import InputError, VideoWriter

CONFIG = Path(__file__).resolve().parents[2] / 'configs/mamp/mamp_r18_ytvos.py'


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


def test_size_is_one_bilinear_resize(root, tmp_path):
    folder, frames = root
    data = VideoFolder([str(folder)], str(tmp_path / 'cache'), size=[48, 80], exclude=['clip'])
    [images] = data.videos
    assert images.size == (48, 80)
    expected = cv2.resize(frames[3], (80, 48), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(images.read(3), expected)
    other = VideoFolder([str(folder)], str(tmp_path / 'cache'), short_side=20, exclude=['clip'])
    assert other.videos[0].size == (20, 32)


@pytest.mark.parametrize(('sides', 'text'), [
    (dict(size=(8, 8), short_side=8), 'short_side or size'), (dict(short_side=0), '1 or more'),
    (dict(size=(8,)), '1 or more'), (dict(size=(8, 0)), '1 or more')])
def test_wrong_sizes(root, tmp_path, sides, text):
    with pytest.raises(ValueError, match=text):
        VideoFolder([str(root[0])], str(tmp_path / 'cache'), **sides)


def test_recipe_of_mamp_resizes_once(root, tmp_path):
    dataset = Config.fromfile(CONFIG).train_dataloader.dataset
    assert [step.type for step in dataset.pipeline] == ['PackClip']
    options = {key: value for key, value in dataset.source.items() if key != 'type'}
    options |= dict(roots=[str(root[0])], cache_dir=str(tmp_path / 'cache'))
    assert {video.size for video in VideoFolder(**options).videos} == {(256, 256)}


@pytest.mark.parametrize('change', ['content', 'time', 'name', 'more'])
def test_a_changed_folder_is_decoded_again(root, tmp_path, change):
    folder, frames = root
    data = VideoFolder([str(folder)], str(tmp_path / 'cache'), short_side=40, exclude=['clip'])
    assert np.array_equal(data.videos[0].read(2), frames[2])
    path, stat = folder / 'frames' / '00002.png', (folder / 'frames').stat()
    other = 255 - frames[2]
    if change == 'more':
        path = path.with_name('00001b.png')
    if change == 'name':  # now the last
        path.rename(path.with_name('00009.png'))
    elif change == 'time':
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))
    else:
        cv2.imwrite(str(path), other[..., ::-1])
    os.utime(folder / 'frames', ns=(stat.st_atime_ns, stat.st_mtime_ns))
    before = len(list((tmp_path / 'cache').glob('*.u8')))
    video = data.videos[0]
    assert len(list((tmp_path / 'cache').glob('*.u8'))) == before + 1
    expected = dict(content=other, more=other, time=frames[2], name=frames[3])[change]
    assert np.array_equal(video.read(2), expected)


def test_lost_frames_are_decoded_again(root, tmp_path):
    folder, frames = root
    data = VideoFolder([str(folder)], str(tmp_path / 'cache'), short_side=40, exclude=['clip'])
    _ = data.videos
    for path in (tmp_path / 'cache').glob('*.u8'):
        path.unlink()
    assert np.array_equal(data.videos[0].read(2), frames[2])


def test_hidden_entries_are_no_videos(root, tmp_path):
    folder, _ = root
    (folder / '.thumbnails').mkdir()
    (folder / '._clip.mp4').write_bytes(b'resource fork')
    data = VideoFolder([str(folder)], str(tmp_path / 'cache'))
    assert [info['video_name'] for info in data.load_data_list()] == ['clip', 'frames']


def test_dots_belong_to_names_of_folders(root, tmp_path):
    folder, _ = root
    (folder / 'frames').rename(folder / 'take.2')
    data = VideoFolder([str(folder)], str(tmp_path / 'cache'), exclude=['clip'])
    assert [video.name for video in data.videos] == ['take.2']
    assert data[0]['data_samples'].video_name == 'take.2'


def test_a_bar_while_decoding_only(root, tmp_path, capsys):
    source = dict(type='VideoFolder', roots=[str(root[0])], cache_dir=str(tmp_path / 'cache'))
    for expected in (True, False):
        ClipDataset(source, [], gaps=(1,), gap_probs=(1.,))
        assert ('decoding videos' in capsys.readouterr().out) == expected


def test_only_some_videos(root, tmp_path):
    names = [[video.name for video in VideoFolder([str(root[0])], str(tmp_path), indices=n).videos]
             for n in (1, [1])]
    assert names == [['clip'], ['frames']]
