"""The command line of the demo; what it writes is tested with VOSInferencer."""
import importlib.util
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmvos.apis import exit_with_message
from mmvos.datasets.synthetic import SyntheticVideo
from mmvos.io import encode_mask, read_mask
from mmvos.models import MUNet
from mmvos.testing.construction_contracts import build

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'demo' / 'video_demo.py'
VIDEO = SyntheticVideo(2, 0, length=3, size=(40, 56), num_objects=2)


@pytest.fixture
def data(tmp_path):
    (tmp_path / 'frames').mkdir()
    for index, name in enumerate(VIDEO.frame_names):
        Image.fromarray(VIDEO.read(index)).save(tmp_path / 'frames' / f'{name}.jpg')
    (tmp_path / 'mask.png').write_bytes(encode_mask(VIDEO.labels(0)))
    return tmp_path


@pytest.fixture
def demo(data, monkeypatch, capsys):
    """Runs the demo in this process: exit status, standard output, standard error."""
    spec = importlib.util.spec_from_file_location('video_demo', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(data)
    monkeypatch.setattr(warnings, 'formatwarning', warnings.formatwarning)  # main changes it

    def run(*args, model='first_mask'):
        monkeypatch.setattr(sys, 'argv', ['video_demo.py', *args, '--model', model])
        status = 0
        try:
            exit_with_message(module.main)
        except SystemExit as error:
            status = error.code
        return status, *capsys.readouterr()
    return run


def test_as_a_command(data):
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))
    command = [sys.executable, str(SCRIPT), 'frames', 'mask.png', '--out', 'out', '--model', 'dis']

    def run(*more):
        return subprocess.run([*command, *more], cwd=data, capture_output=True, text=True,
                              check=False, env={**os.environ, 'PYTHONPATH': path})
    done = run()
    assert done.returncode == 0, done.stderr
    assert '3/3 frames' in done.stdout
    assert sorted(path.name for path in (data / 'out').iterdir()) == [
        'contact_sheet.png', 'masks', 'overlay.mp4']
    failed = run('--size', '0')
    assert (failed.returncode, failed.stderr.count('\n')) == (2, 1)
    assert failed.stderr.startswith('error: size')


def test_options_between_video_and_mask(demo, data):
    status, _, error = demo('frames', '--out', 'out', 'mask.png')
    assert (status, error) == (0, '')
    assert (data / 'out/masks/00002.png').read_bytes() == (data / 'mask.png').read_bytes()


def ellipse():
    """What `centre` says of a frame of 40x56."""
    y, x = np.mgrid[:40, :56]
    return (((2 * y + 1) / 40 - 1) / .5)**2 + (((2 * x + 1) / 56 - 1) / .5)**2 < 1


def test_without_a_mask(demo, data):
    for options in (dict(model='centre'), dict(model='first_mask')):
        found = ['--init-from', 'centre'] if options['model'] == 'first_mask' else []
        status, _, error = demo('frames', '--out', 'out', *found, **options)
        assert (status, error) == (0, '')
        masks = [read_mask(path) for path in sorted((data / 'out/masks').iterdir())]
        assert len(masks) == 3
        assert all(np.array_equal(mask, ellipse()) for mask in masks)


def test_a_mask_for_nobody_and_nobody_for_a_mask(demo):
    status, _, error = demo('frames', 'mask.png', '--out', 'out', model='centre')
    assert (status, error.count('\n')) == (2, 1)
    assert 'finds objects by itself; leave the masks out' in error
    status, _, error = demo('frames', '--out', 'out')
    assert (status, error.count('\n')) == (2, 1)
    assert 'needs the mask of the first frame' in error
    status, _, error = demo('frames', '--out', 'out', '--init-from', 'mamp_r18')
    assert (status, error.count('\n')) == (2, 1)
    assert 'init_from should find objects by itself' in error


def test_adaptation_without_time_keeps_the_masks(demo):
    """What it does with time is tested with the refiner."""
    with pytest.warns(UserWarning, match='not adapted: only 0 of 200 iterations'):
        status, _, error = demo('frames', 'mask.png', '--out', 'out', '--adapt', '1e-9')
    assert (status, error) == (0, '')
    for name in VIDEO.frame_names:  # the model copies the first mask
        with Image.open(f'out/masks/{name}.png') as mask:
            np.testing.assert_array_equal(np.array(mask), VIDEO.labels(0))
    status, _, error = demo('frames', 'mask.png', '--out', 'out', '--adapt', '0')
    assert status == 2
    assert 'time_budget should be seconds above 0' in error


def test_options(demo, data):
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)
    Image.fromarray(colours[VIDEO.labels(0)]).save(data / 'rgb.png')
    status, _, error = demo('frames', 'rgb.png', '--out', 'out', '--device', 'cpu', '--dtype',
                            'bf16', '--size', '32', '--mask-palette', '#ff0000=1,#0000ff=2')
    assert (status, error) == (0, '')
    with Image.open('out/masks/00000.png') as mask:
        np.testing.assert_array_equal(np.array(mask), VIDEO.labels(0))


def test_maps(demo, data):
    torch.manual_seed(0)
    model = build(MUNet)
    (data / 'tiny.py').write_text(f'model = {dict(type="MUNet", **MUNet.example)!r}\n')
    torch.save(model.state_dict(), data / 'tiny.pth')
    status, shown, error = demo('frames', 'mask.png', '--out', 'out', '--save-maps',
                                '--checkpoint', 'tiny.pth', model='tiny.py')
    assert (status, error) == (0, '')
    assert 'out/maps' in shown
    assert sorted(path.name for path in (data / 'out/maps/uncertainty').iterdir()) == [
        '00001.png', '00002.png']
    before = sorted(data.rglob('*'))
    status, _, error = demo('frames', 'mask.png', '--out', 'out', '--save-maps')
    assert (status, error.count('\n')) == (2, 1)
    assert 'FlowPropagation has no maps' in error
    assert 'MUNet (configs/munet)' in error
    assert sorted(data.rglob('*')) == before


def test_a_warning_is_one_line(demo, data):
    (data / 'empty.png').write_bytes(encode_mask(np.zeros((40, 56), np.uint8)))
    with pytest.warns(UserWarning, match='no object') as caught:
        assert demo('frames', 'empty.png', '--out', 'out')[0] == 0
    line = warnings.formatwarning(caught[0].message, UserWarning, 'file.py', 1)
    assert line.startswith('warning: the first mask')
    assert line.count('\n') == 1


def save(path, array):
    Image.fromarray(array).save(path)


def make_bad_inputs(folder):
    labels = VIDEO.labels(0)
    shade = np.linspace(0, 255, 56).astype(np.uint8)
    save(folder / 'small.png', labels[:-3])
    save(folder / 'rgb.png', np.repeat(labels[..., None] * 100, 3, 2))
    save(folder / 'soft.png', np.tile(shade, (40, 1)))
    save(folder / 'ids.png', labels.astype(np.uint16) * 200)
    (folder / 'cut.png').write_bytes((folder / 'mask.png').read_bytes()[:-60])
    (folder / 'text.mp4').write_text('no video')
    (folder / 'none').mkdir()
    (folder / 'broken').mkdir()
    for path in (folder / 'frames').iterdir():
        data = path.read_bytes()
        (folder / 'broken' / path.name).write_bytes(data[:-300] if '1' in path.stem else data)
    torch.save(dict(a=torch.zeros(1)), folder / 'other.pth')


@pytest.mark.parametrize(('args', 'text'), [
    ('nothing.mp4 mask.png', 'nothing.mp4 does not exist'),
    ('text.mp4 mask.png', 'text.mp4'),
    ('none mask.png', 'zero frames'),
    ('frames nothing.png', 'nothing.png does not exist'),
    ('frames none', 'holds no mask'),
    ('frames cut.png', 'cut.png cannot be read'),
    ('frames small.png', '56x37'),
    ('frames rgb.png', '--mask-palette'),
    ('frames rgb.png --mask-palette #000001=1', 'does not list: #'),
    ('frames rgb.png --mask-palette red', "'red'"),
    ('frames soft.png', 'anti-aliased'),
    ('frames ids.png', '0 to 255, got 400'),
    ('broken mask.png', 'broken/00001.jpg'),
    ('frames mask.png --out mask.png/deeper', 'cannot write mask.png/deeper'),
    ('frames mask.png --out /dev/full', 'cannot write /dev/full'),
    ('frames mask.png --checkpoint nothing.pth', 'nothing.pth does not exist'),
    ('frames mask.png --checkpoint other.pth', 'unexpected a;'),
    ('frames mask.png --checkpoint mask.png', 'refused'),
    ('frames mask.png --device gpu', "'gpu'"),
])
def test_bad_input_is_one_line_and_keeps_earlier_results(demo, data, args, text):
    assert demo('frames', 'mask.png', '--out', 'out')[0] == 0
    make_bad_inputs(data)
    before = {path: path.stat().st_mtime_ns for path in sorted(data.rglob('*'))}
    args = args.split()
    status, _, error = demo(*args, *([] if '--out' in args else ['--out', 'out']))
    assert status == 2
    assert error.startswith('error: ')
    assert error.count('\n') == 1
    assert text in error
    after = {path: path.stat().st_mtime_ns for path in sorted(data.rglob('*'))}
    before[data / 'out'] = after[data / 'out']  # the hidden folder came and went
    assert after == before


def test_an_unknown_model(demo):
    status, _, error = demo('frames', 'mask.png', '--out', 'out', model='fist_mask')
    assert status == 2
    assert 'did you mean first_mask' in error
    assert error.count('\n') == 1


def test_a_mask_of_0_and_255_is_one_object(demo, data):
    save(data / 'white.png', np.where(VIDEO.labels(0) > 0, 255, 0).astype(np.uint8))
    assert demo('frames', 'white.png', '--out', 'out')[0] == 0
    with Image.open('out/masks/00002.png') as mask:
        assert set(np.unique(mask)) == {0, 1}
