"""Videos to the DAVIS layout and back: counts, names, pixels and masks survive."""
import importlib.util
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmvos.apis import exit_with_message
from mmvos.datasets import DAVIS, SyntheticVideo
from mmvos.io import VideoReader, VideoWriter, encode_mask, read_image, read_mask

TOOLS = Path(__file__).resolve().parents[2] / 'tools' / 'dataset_converters'
VIDEO = SyntheticVideo(0, 1, length=5, size=(48, 64), num_objects=2)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a converter in this process and folder: exit status, output, errors."""
    monkeypatch.chdir(tmp_path)

    def call(name, *args):
        spec = importlib.util.spec_from_file_location(name, TOOLS / f'{name}.py')
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, 'argv', [f'{name}.py', *args])
        status = 0
        try:
            exit_with_message(module.main)
        except SystemExit as stop:
            status = stop.code
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def data(tmp_path):
    """clip.mp4 and the same video as frames/, with the masks of both."""
    (tmp_path / 'frames').mkdir()
    (tmp_path / 'masks' / 'frames').mkdir(parents=True)
    with VideoWriter(tmp_path / 'clip.mp4', 24, VIDEO.size) as writer:
        for index, name in enumerate(VIDEO.frame_names):
            writer.write(VIDEO.read(index))
            Image.fromarray(VIDEO.read(index)).save(tmp_path / 'frames' / f'{name}.png')
            mask = encode_mask(VIDEO.labels(index))
            (tmp_path / 'masks' / 'frames' / f'{name}.png').write_bytes(mask)
    (tmp_path / 'masks' / 'clip.png').write_bytes(encode_mask(VIDEO.labels(0)))
    return tmp_path


def psnr(image, other):
    return 10 * np.log10(255 ** 2 / np.square(image.astype(float) - other).mean())


def test_there_is_a_davis_dataset_afterwards(run, data):
    status, out, err = run('video_to_davis', 'clip.mp4', 'frames', '--out', 'davis', '--masks',
                           'masks')
    assert (status, err) == (0, '')
    assert out.splitlines() == ['clip: 5 frames, 1 masks', 'frames: 5 frames, 5 masks']
    clip, frames = DAVIS('davis', '2017')
    assert [s['data_samples'].video_name for s in (clip, frames)] == ['clip', 'frames']
    assert clip['data_samples'].truth.indices == [0]  # given, so that nothing is scored
    for index in range(5):
        assert np.array_equal(frames['data_samples'].truth.read(index), VIDEO.labels(index))
        assert psnr(frames['inputs'].read(index), VIDEO.read(index)) > 30
        assert psnr(clip['inputs'].read(index), VIDEO.read(index)) > 25  # H.264, then JPEG
    with Image.open('davis/Annotations/480p/clip/00000.png') as mask:
        assert mask.mode == 'P'


def test_there_and_back(run, data):
    run('video_to_davis', 'frames', '--out', 'davis')
    status, out, _ = run('davis_to_video', 'davis', '--out', 'videos', '--fps', '12')
    assert (status, out) == (0, 'videos/frames.mp4: 5 frames\n')
    with VideoReader('videos/frames.mp4') as reader:
        assert (len(reader), reader.fps, reader.size) == (5, 12, VIDEO.size)
        for index in range(5):
            assert psnr(reader.read(index), VIDEO.read(index)) > 25


def test_smaller_and_fewer(run, data):
    _, out, _ = run('video_to_davis', 'frames', '--out', 'davis', '--masks', 'masks', '--short',
                    '24', '--every', '2')
    assert out == 'frames: 3 frames, 3 masks (2 masks of frames that --every leaves out)\n'
    images = sorted(Path('davis/JPEGImages/480p/frames').iterdir())
    masks = sorted(Path('davis/Annotations/480p/frames').iterdir())
    assert [p.stem for p in images] == [p.stem for p in masks] == ['00000', '00002', '00004']
    assert read_image(images[1]).shape == (24, 32, 3)
    labels = read_mask(masks[1])
    assert labels.shape == (24, 32)
    assert (labels == VIDEO.labels(2)[::2, ::2]).mean() > .95


def test_masks_stay_on_their_frames_when_both_shrink(run, data):
    """By centres of mass, to a quarter of a pixel; the nearest of floored pixels is half off."""
    shutil.rmtree('frames')
    shutil.rmtree('masks')
    Path('frames').mkdir()
    Path('masks/frames').mkdir(parents=True)
    labels = np.zeros((450, 600), np.uint8)
    labels[123:201, 222:333] = 1
    Image.fromarray(labels * 255).save('frames/00000.png')
    Image.fromarray(labels).save('masks/frames/00000.png')
    run('video_to_davis', 'frames', '--out', 'davis', '--masks', 'masks', '--short', '100')
    image = read_image(Path('davis/JPEGImages/480p/frames/00000.jpg'))[..., 0] / 255
    mask = read_mask(Path('davis/Annotations/480p/frames/00000.png'))
    centres = [[(values.sum(axis) @ np.arange(values.shape[1 - axis])) / values.sum()
                for axis in (0, 1)] for values in (image, mask.astype(float))]
    assert np.abs(np.subtract(*centres)).max() < .25


def test_lists_grow_without_repeating(run, data):
    for _ in range(2):
        run('video_to_davis', 'frames', '--out', 'davis', '--year', '2016', '--split', 'train')
        shutil.rmtree('davis/JPEGImages/480p/frames')
    run('video_to_davis', 'clip.mp4', '--out', 'davis', '--year', '2016', '--split', 'train')
    assert Path('davis/ImageSets/2016/train.txt').read_text() == 'frames\nclip\n'


def tree(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob('*') if path.is_file()}


@pytest.mark.parametrize('kept', ['JPEGImages', 'Annotations'])
def test_a_video_that_is_there_is_refused(run, data, kept):
    run('video_to_davis', 'frames', '--out', 'davis', '--masks', 'masks')
    shutil.rmtree('davis/' + {'JPEGImages': 'Annotations', 'Annotations': 'JPEGImages'}[kept])
    before = tree('davis')
    status, _, err = run('video_to_davis', 'clip.mp4', 'frames', '--out', 'davis', '--every', '2')
    assert status == 2
    assert f'davis/{kept}/480p/frames exists already' in err
    assert '--out' in err
    assert err.count('\n') == 1
    assert tree('davis') == before
    status, _, err = run('video_to_davis', 'frames', '--out', 'davis', '--resolution', 'half')
    assert (status, err) == (0, '')


@pytest.mark.parametrize('broken', ['frames/00003.png', 'masks/frames/00003.png'])
def test_half_a_video_does_not_stay(run, data, broken):
    (data / broken).write_bytes((data / broken).read_bytes()[:-40])
    status, out, err = run('video_to_davis', 'clip.mp4', 'frames', '--out', 'davis', '--masks',
                           'masks')
    assert (status, out) == (2, 'clip: 5 frames, 1 masks\n')
    assert broken in err
    names = {path.name for kind in ('JPEGImages', 'Annotations')
             for path in Path(f'davis/{kind}/480p').iterdir()}
    assert names == {'clip'}
    assert Path('davis/ImageSets/2017/val.txt').read_text() == 'clip\n'


def test_masks_that_cannot_be_moved_leave_nothing(run, data, monkeypatch):
    rename = Path.rename

    def full(self, target):
        if 'Annotations' in str(target):
            raise OSError(28, 'No space left on device', str(self))
        return rename(self, target)
    monkeypatch.setattr(Path, 'rename', full)
    status, _, err = run('video_to_davis', 'frames', '--out', 'davis', '--masks', 'masks')
    assert status == 2
    assert 'cannot write davis/Annotations/480p/frames: No space left' in err
    assert tree('davis') == {}


def test_unfinished_folders_are_no_videos(run, data):
    run('video_to_davis', 'frames', '--out', 'davis')
    Path('davis/JPEGImages/480p/.unfinished-clip-0').mkdir()
    status, out, _ = run('davis_to_video', 'davis', '--out', 'videos')
    assert (status, out) == (0, 'videos/frames.mp4: 5 frames\n')


def test_overlay_draws_the_masks(run, data):
    run('video_to_davis', 'frames', '--out', 'davis')
    run('davis_to_video', 'davis', '--out', 'plain')
    status, _, err = run('davis_to_video', 'davis', '--out', 'drawn', '--overlay', 'masks')
    assert (status, err) == (0, '')
    with VideoReader('plain/frames.mp4') as plain, VideoReader('drawn/frames.mp4') as drawn:
        change = np.abs(plain.read(2).astype(int) - drawn.read(2)).max(-1)
    inside = VIDEO.labels(2) > 0
    assert change[inside].mean() > 4 * change[~inside].mean()


@pytest.mark.parametrize(('args', 'text'), [
    (('absent.mp4',), 'absent.mp4 does not exist'),
    (('frames', 'other/frames'), 'two videos are named frames'),
    (('a b',), 'has a space'),
    (('frames', '--masks', 'nothing'), 'folder nothing does not exist'),
    (('frames', '--masks', 'other'), 'no mask for video frames: expected other/frames.png or '
                                     'other/frames/00000.png'),
    (('frames', '--every', '0'), '--every should be 1 or more, got 0'),
    (('frames', '--quality', '101'), '--quality should be from 1 to 100, got 101'),
])
def test_wrong_input_is_one_line_and_writes_nothing(run, data, args, text):
    for folder in ('other/frames', 'a b'):
        Path(folder).mkdir(parents=True)
        Image.fromarray(VIDEO.read(0)).save(Path(folder) / 'x.png')
    status, _, err = run('video_to_davis', *args, '--out', 'davis')
    assert status == 2
    assert err.startswith('error: ')
    assert text in err
    assert err.count('\n') == 1
    assert not Path('davis').exists()


@pytest.mark.parametrize(('args', 'text'), [
    (('absent', '--out', 'o'), 'absent/JPEGImages/480p does not exist'),
    (('davis', '--out', 'o', '--only', 'cat'), 'has no video cat; it has frames'),
    (('davis', '--out', 'o', '--overlay', 'nothing'), 'no masks for video frames'),
    (('davis', '--out', 'clip.mp4/o'), 'one of its parents is a file'),
    (('davis', '--out', 'o', '--fps', '0'), 'fps must be above 0'),
])
def test_wrong_input_of_the_way_back(run, data, args, text):
    run('video_to_davis', 'frames', '--out', 'davis')
    status, _, err = run('davis_to_video', *args)
    assert status == 2
    assert err.startswith('error: ')
    assert text in err
    assert err.count('\n') == 1
    assert not list(Path().glob('o/*'))
