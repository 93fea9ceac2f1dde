"""Oracles: the frames that were written, OpenCV's decoder, damage put at a known place."""

import os
import resource

import av
import cv2
import numpy as np
import pytest

from mmvos.io import InputError, VideoReader, VideoWriter


def scene(index, height=48, width=64):
    """Return a smooth frame whose red level tells its index."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([np.full_like(rows, 8 + 6 * index), rows * 4, columns * 3], -1).astype(np.uint8)


def write(path, count=20, size=(48, 64), fps=24):
    with VideoWriter(path, fps, size) as writer:
        for index in range(count):
            writer.write(scene(index, *size))
    return path


def encode(path, count=20, codec='libx264', turn=0, options=None, pix_fmt='yuv420p'):
    """Write a video with PyAV directly, for the formats `VideoWriter` does not write."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, pix_fmt
        stream.options = options or {}
        if turn:
            stream.set_display_rotation(turn)
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(scene(index), format='rgb24')
            container.mux(stream.encode(frame.reformat(format=pix_fmt)))
        container.start_encoding()
        container.mux(stream.encode())
    return path


def indices(frames):
    return [round((frame[..., 0].mean() - 8) / 6) for frame in frames]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_round_trip(tmp_path):
    with VideoReader(write(tmp_path / 'a.mp4')) as reader:
        assert (len(reader), reader.fps, reader.size) == (20, 24, (48, 64))
        frames = list(reader)
    assert frames[0].dtype == np.uint8
    for index, frame in enumerate(frames):
        # Half the colour samples and a quantiser of 18: a few levels.
        assert np.abs(frame.astype(int) - scene(index)).mean() < 3


def test_equals_opencv(tmp_path):
    path = write(tmp_path / 'a.mp4')
    capture = cv2.VideoCapture(str(path))
    for frame in VideoReader(path):
        found, other = capture.read()
        assert found
        assert np.abs(frame.astype(int) - other[..., ::-1]).max() <= 4
    assert not capture.read()[0]


@pytest.mark.parametrize(
    'options', [{'g': '5'}, {'g': '6', 'bf': '3', 'x264-params': 'open-gop=1'}]
)
@pytest.mark.parametrize('kind', ['mp4', 'mkv'])
def test_read_in_any_order_equals_in_order(tmp_path, kind, options):
    reader = VideoReader(encode(tmp_path / f'a.{kind}', options=options))
    frames = list(reader)
    assert indices(frames) == list(range(20))
    for index in [19, 0, 7, 7, 6, 12, 13, 3, 18]:
        assert np.array_equal(reader.read(index), frames[index])
    with pytest.raises(IndexError, match='frames 0 to 19'):
        reader.read(20)


@pytest.mark.parametrize(('kind', 'codec', 'pix_fmt'), [
    ('avi', 'mpeg4', 'yuv420p'), ('ts', 'libx264', 'yuv420p'), ('webm', 'libvpx-vp9', 'yuv420p'),
    ('mov', 'mjpeg', 'yuvj420p'), ('gif', 'gif', 'rgb8')])
def test_other_formats(tmp_path, kind, codec, pix_fmt):
    options = {'bf': '2', 'b': '8M'} if codec == 'mpeg4' else {}
    reader = VideoReader(encode(tmp_path / f'a.{kind}', 12, codec, 0, options, pix_fmt))
    assert len(reader) == 12
    frames = list(reader)
    if kind != 'gif':  # eight levels of red
        assert indices(frames) == list(range(12))
    assert np.array_equal(reader.read(5), frames[5])


@pytest.mark.parametrize('turn', [90, 180, -90])
def test_rotation_as_players_show_it(tmp_path, turn):
    path = encode(tmp_path / 'a.mp4', 3, turn=turn)
    reader = VideoReader(path)
    plain, other = (opencv_frame(path, auto) for auto in (0, 1))
    assert reader.size == other.shape[:2] == ((48, 64) if turn == 180 else (64, 48))
    for expected in (np.rot90(plain, turn // 90), other):
        assert np.abs(reader.read(1).astype(int) - expected).max() <= 4


def opencv_frame(path, turned):
    """Frame 1 by OpenCV, with or without the rotation that the metadata asks for."""
    shown = cv2.VideoCapture(str(path))
    shown.set(cv2.CAP_PROP_ORIENTATION_AUTO, turned)
    shown.read()
    return shown.read()[1][..., ::-1]


@pytest.mark.parametrize('size', [(47, 64), (48, 63), (1, 1)])
def test_odd_sizes_are_padded_to_even(tmp_path, size):
    reader = VideoReader(write(tmp_path / 'a.mp4', 3, size))
    assert reader.size == tuple(side + side % 2 for side in size)
    frame = reader.read(0)[: size[0], : size[1]].astype(int)
    assert np.abs(frame - scene(0, *size)).mean() < 5


def test_the_file_is_what_browsers_play(tmp_path):
    path = write(tmp_path / 'a.mp4', fps=29.97)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ('h264', 'yuv420p')
        assert float(stream.average_rate) == pytest.approx(29.97, rel=1e-4)
    data = path.read_bytes()
    assert data.index(b'moov') < data.index(b'mdat')  # plays before it is all there


def test_a_name_with_a_colon(tmp_path):
    assert len(VideoReader(write(tmp_path / 'a:b.mp4', 2))) == 2


def test_missing_and_no_video(tmp_path):
    with pytest.raises(FileNotFoundError, match='video .* does not exist'):
        VideoReader(tmp_path / 'a.mp4')
    with pytest.raises(InputError, match='is a folder'):
        VideoReader(tmp_path)
    for name, content in [('a.mp4', b''), ('b.mp4', b'no video ' * 99), ('c.txt', b'text ' * 999)]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf'{name} (cannot be read|holds no video)') as caught:
            VideoReader(tmp_path / name)
        assert '\n' not in str(caught.value)


def test_sound_is_no_video(tmp_path):
    with av.open(str(tmp_path / 'a.wav'), 'w') as container:
        stream = container.add_stream('pcm_s16le', rate=8000, layout='mono')
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), 's16', 'mono')
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(InputError, match='holds no video'):
        VideoReader(tmp_path / 'a.wav')


def test_zero_frames(tmp_path):
    encode(tmp_path / 'a.mp4', 0)
    with pytest.raises(InputError, match='zero frames|cannot be read|holds no video'):
        VideoReader(tmp_path / 'a.mp4')


def test_cut_short(tmp_path):
    path = write(tmp_path / 'a.mp4', 60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    with pytest.raises(InputError, match=r'ends at frame \d+ of 60'):
        VideoReader(path)


@pytest.mark.parametrize('damage', ['zeros', 'noise'])
def test_damage_in_the_middle_names_the_frame(tmp_path, damage):
    path = encode(tmp_path / 'a.mp4', options={'g': '5', 'bf': '0'})
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    start, size = packets[10]
    data = bytearray(path.read_bytes())
    bad = np.random.default_rng(0).integers(0, 256, size, np.uint8).tobytes()
    data[start : start + size] = bad if damage == 'noise' else bytes(size)
    path.write_bytes(data)
    reader = VideoReader(path)
    frames = [reader.read(index) for index in range(10)]
    assert indices(frames) == list(range(10))
    with pytest.raises(InputError, match='damaged at frame 10; .*re-encode'):
        reader.read(10)
    assert indices([reader.read(15)]) == [15]


def test_writing_fails_without_a_trace(tmp_path):
    write(tmp_path / 'a.mp4', 3)
    before = (tmp_path / 'a.mp4').read_bytes()

    def fail():
        with VideoWriter(tmp_path / 'a.mp4', 24, (48, 64)) as writer:
            writer.write(scene(0))
            raise RuntimeError('stop')

    with pytest.raises(RuntimeError, match='stop'):
        fail()
    with (pytest.raises(InputError, match='zero frames'),
          VideoWriter(tmp_path / 'a.mp4', 24, (48, 64))):
        pass
    assert names(tmp_path) == ['a.mp4']
    assert (tmp_path / 'a.mp4').read_bytes() == before


def noisy(path, size=(240, 320)):
    rng = np.random.default_rng(0)
    with VideoWriter(path, 24, size) as writer:
        for _ in range(12):
            writer.write(rng.integers(0, 256, (*size, 3), np.uint8))


@pytest.mark.parametrize('limit', [500, 40000, 400000])
def test_full_disk(tmp_path, limit):
    write(tmp_path / 'a.mp4', 3, (2, 2))
    before = (tmp_path / 'a.mp4').read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        with pytest.raises(InputError, match=r'cannot write .*a\.mp4.*free some space'):
            noisy(tmp_path / 'a.mp4')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == ['a.mp4']
    assert (tmp_path / 'a.mp4').read_bytes() == before


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='needs /dev/full')
def test_dev_full(tmp_path):
    (tmp_path / 'a.mp4').symlink_to('/dev/full')
    with pytest.raises(InputError, match='cannot write .*free some space'):
        noisy(tmp_path / 'a.mp4')
    assert not os.path.isfile('/dev/full')


def test_under_a_file(tmp_path):
    (tmp_path / 'file').write_text('kept')
    with pytest.raises(InputError, match='one of its parents is a file'):
        write(tmp_path / 'file' / 'a.mp4')
    assert names(tmp_path) == ['file']


def test_wrong_frames_and_rates(tmp_path):
    with VideoWriter(tmp_path / 'a.mp4', 24, (48, 64)) as writer:
        writer.write(scene(0))
        for bad in (scene(0, 64, 48), scene(0).astype(float), scene(0)[..., 0]):
            with pytest.raises(ValueError, match='expected a frame'):
                writer.write(bad)
    for fps in (0, -1, float('nan')):
        with pytest.raises(ValueError, match='fps'):
            VideoWriter(tmp_path / 'a.mp4', fps, (48, 64))
