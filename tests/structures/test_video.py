"""Oracles: frames and masks written without loss; what threads are alive afterwards."""

import gc
import pickle
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmvos.io import InputError, VideoWriter, encode_mask
from mmvos.structures import (
    FrameFolder,
    MaskArrays,
    MaskFiles,
    VideoFile,
    VideoSource,
    open_video,
)


def frame(index, height=12, width=16):
    return np.full((height, width, 3), index * 10, np.uint8)


def folder(path, count=12, kind='png'):
    path.mkdir()
    for index in range(count):
        Image.fromarray(frame(index)).save(path / f'f{index}.{kind}')
    return path


def video_file(path, count=12):
    with VideoWriter(path, 24, (12, 16)) as writer:
        for index in range(count):
            writer.write(frame(index))
    return path


def levels(frames):
    return [round(image.mean() / 10) for image in frames]


def readers():
    return [thread for thread in threading.enumerate() if thread.name == 'mmvos-read-ahead']


def wait_for_no_reader():
    for _ in range(100):
        if not readers():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(params=['folder', 'file'])
def video(request, tmp_path):
    if request.param == 'folder':
        return open_video(folder(tmp_path / 'clip'))
    return open_video(video_file(tmp_path / 'clip.mp4'))


def test_facts(video):
    assert (len(video), video.size, video.fps, video.name) == (12, (12, 16), 24, 'clip')
    assert len(video.frame_names) == 12
    assert levels([video.read(11), video.read(2)]) == [11, 2]


def test_frames_in_order_from_any_start(video):
    assert levels(video.frames()) == list(range(12))
    assert levels(video.frames(9)) == [9, 10, 11]
    assert list(video.frames(12)) == []


def test_read_while_iterating(video):
    frames = video.frames()
    assert levels([next(frames), video.read(7), next(frames), video.read(0)]) == [0, 7, 1, 0]
    assert levels(frames) == list(range(2, 12))


def test_pickle(video):
    video.read(3)
    copy = pickle.loads(pickle.dumps(video))
    assert levels([copy.read(5)]) == [5]
    assert copy.frame_names == video.frame_names
    assert len(pickle.dumps(video)) < 2000


@pytest.mark.parametrize('end', ['close', 'drop', 'finish'])
def test_the_thread_ends(video, end):
    frames = video.frames()
    next(frames)
    assert readers()
    if end == 'close':
        frames.close()
    elif end == 'finish':
        list(frames)
    del frames
    gc.collect()
    assert wait_for_no_reader()


@pytest.mark.filterwarnings('ignore:This DataLoader will create')
def test_workers_read_a_file_that_the_main_process_had_opened(tmp_path):
    """Forked, they inherit a decoder whose threads did not come with it."""
    path = tmp_path / 'clip.mp4'
    with VideoWriter(path, 24, (32, 48)) as writer:
        for index in range(20):
            writer.write(np.full((32, 48, 3), 10 * index, np.uint8))

    class Frames(torch.utils.data.Dataset):
        video = open_video(path)

        def __len__(self):
            return len(self.video)

        def __getitem__(self, index):
            return self.video.read(index)

    data = Frames()
    expected = [data[index] for index in range(20)]
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=2, timeout=60,
                                         multiprocessing_context='fork')
    assert all(np.array_equal(a, b) for a, b in zip(loader, expected, strict=True))
    assert np.array_equal(data[3], expected[3])


def test_reads_at_most_four_ahead():
    class Counting(VideoSource):
        name, fps, size, frame_names = 'counting', 24.0, (12, 16), [str(i) for i in range(40)]
        done = 0

        def read(self, index):
            self.done += 1
            return frame(index % 20)

    video = Counting()
    frames = video.frames()
    next(frames)
    time.sleep(0.3)
    # One given, four waiting, one in the thread's hand.
    assert video.done <= 6
    frames.close()


def test_an_error_comes_where_its_frame_would(tmp_path):
    path = folder(tmp_path / 'clip', kind='jpg')
    data = (path / 'f6.jpg').read_bytes()
    (path / 'f6.jpg').write_bytes(data[: len(data) // 2])
    video, seen = open_video(path), []

    def play():
        for image in video.frames():
            seen.append(image)

    with pytest.raises(InputError, match=r'f6\.jpg cannot be read'):
        play()
    assert levels(seen) == [0, 1, 2, 3, 4, 5]
    assert wait_for_no_reader()


def test_no_sequence(video):
    assert not hasattr(video, '__getitem__')
    assert not hasattr(video, '__iter__')


def test_natural_order_and_other_files(tmp_path):
    path = folder(tmp_path / 'clip')
    (path / 'notes.txt').write_text('kept out')
    (path / '.hidden.png').write_bytes(b'')
    video = FrameFolder.from_dir(path)
    assert video.frame_names == [f'f{index}' for index in range(12)]
    upper = FrameFolder.from_dir(folder(tmp_path / 'upper', 1, 'PNG'))
    assert len(upper) == 1


def test_a_frame_of_another_size(tmp_path):
    path = folder(tmp_path / 'clip')
    Image.fromarray(frame(4, 12, 18)).save(path / 'f4.png')
    video = open_video(path)
    assert levels([video.read(3)]) == [3]
    with pytest.raises(InputError, match=r'f4\.png is 18x12 .* 16x12'):
        video.read(4)


def test_two_frames_of_one_name(tmp_path):
    path = folder(tmp_path / 'clip', 3)
    Image.fromarray(frame(1)).save(path / 'f1.bmp')
    with pytest.raises(InputError, match='same name'):
        FrameFolder.from_dir(path)


def test_bad_videos(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'video .*none\.mp4 does not exist'):
        open_video(tmp_path / 'none.mp4')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputError, match='zero frames; expected images'):
        open_video(tmp_path / 'empty')
    with pytest.raises(InputError, match='zero frames'):
        FrameFolder([])
    (tmp_path / 'bad.mp4').write_text('no video')
    with pytest.raises(InputError, match='cannot be read as a video'):
        open_video(tmp_path / 'bad.mp4')
    Image.fromarray(frame(0)).save(tmp_path / 'one.png')
    with pytest.raises(InputError, match='is a single image'):
        open_video(tmp_path / 'one.png')
    path = folder(tmp_path / 'clip', 2)
    (path / 'f0.png').write_bytes(b'no image')
    with pytest.raises(InputError, match=r'f0\.png is not an image'):
        open_video(path)
    assert len(VideoFile(tmp_path / 'opened-on-first-use.mp4').name) > 0


def masks(path):
    maps = {3: np.uint8([[0, 1], [2, 2]]), 0: np.uint8([[0, 1], [0, 0]])}
    for index, labels in maps.items():
        Path(path / f'{index}.png').write_bytes(encode_mask(labels))
    return maps, {index: path / f'{index}.png' for index in maps}


def test_mask_sources_agree(tmp_path):
    maps, paths = masks(tmp_path)
    for source in (MaskFiles(paths, (2, 2)), MaskArrays(maps)):
        assert source.indices == [0, 3]
        for index in source.indices:
            assert np.array_equal(source.read(index), maps[index])
        with pytest.raises(KeyError):
            source.read(1)
        copy = pickle.loads(pickle.dumps(source))
        assert np.array_equal(copy.read(3), maps[3])


def test_merge_size_and_palette(tmp_path):
    _, paths = masks(tmp_path)
    assert MaskFiles(paths, merge=True).read(3).tolist() == [[0, 1], [1, 1]]
    with pytest.raises(InputError, match='2x2'):
        MaskFiles(paths, (9, 9)).read(0)
    Image.fromarray(np.uint8([[[255, 0, 0], [0, 0, 0]]])).save(tmp_path / 'colour.png')
    source = MaskFiles({0: tmp_path / 'colour.png'}, (1, 2), palette={(255, 0, 0): 4})
    assert source.read(0).tolist() == [[4, 0]]


def test_arrays_are_checked_and_not_shared():
    with pytest.raises(InputError, match='mask of frame 2: object ids must be 0 to 255'):
        MaskArrays({2: np.array([[300]])})
    given = np.uint8([[1, 2]])
    source = MaskArrays({0: given})
    source.read(0)[:] = 9
    given[:] = 7
    assert source.read(0).tolist() == [[1, 2]]
