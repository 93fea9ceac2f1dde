"""The mask doctor's command: what it prints, its exit status, --fix, --json and wrong usage."""
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmvos.io import decode_mask, encode_mask
from mmvos.io.command_line import exit_with_message

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'analysis_tools' / 'check_dataset.py'
FRAMES = np.random.default_rng(0).integers(0, 256, (3, 20, 24, 3), np.uint8)
LABELS = np.zeros((3, 20, 24), np.uint8)
LABELS[:, 3:9, 4:12], LABELS[:, 11:18, 8:20] = 1, 2


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs the tool in this process and folder: exit status, output, errors."""
    monkeypatch.chdir(tmp_path)

    def call(*args):
        spec = importlib.util.spec_from_file_location('check_dataset', TOOL)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, 'argv', ['check_dataset.py', *args])
        with pytest.raises(SystemExit) as stop:
            exit_with_message(module.main)
        return stop.value.code, *capsys.readouterr()

    return call


@pytest.fixture
def data(tmp_path):
    """The DAVIS layout with two sound videos."""
    for name in ('bear', 'cat'):
        images = tmp_path / 'data/JPEGImages/480p' / name
        masks = tmp_path / 'data/Annotations/480p' / name
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        for index, (frame, labels) in enumerate(zip(FRAMES, LABELS, strict=True)):
            Image.fromarray(frame).save(images / f'{index:05d}.jpg')
            (masks / f'{index:05d}.png').write_bytes(encode_mask(labels))
    return tmp_path / 'data'


def spoil(data, values, name='00001.png'):
    Image.fromarray(values).save(data / 'Annotations/480p/cat' / name)


def test_sound_dataset_is_one_line_and_status_0(run, data):
    assert run('data') == (0, '2 videos, 6 frames, 6 masks: 0 errors, 0 warnings, 0 notes\n', '')


def test_warnings_alone_are_status_0(run, data):
    spoil(data, LABELS[1, :, 1:])
    status, out, _ = run('data')
    title, line, summary = out.splitlines()
    assert status == 0
    assert title == '480p/cat (3 frames, 3 masks)'
    assert line.startswith('  warning: Annotations/480p/cat/00001.png: is 23x20')
    assert '0 errors, 1 warning, ' in summary


def test_errors_are_status_1_and_grouped_by_video(run, data):
    spoil(data, LABELS[0, 4:])
    (data / 'Annotations/480p/bear/00002.png').write_bytes(b'')
    status, out, err = run('data')
    lines = out.splitlines()
    assert (status, err) == (1, '')
    assert [line.split(':')[0] for line in lines] == [
        '480p/bear (3 frames, 3 masks)', '  error', '480p/cat (3 frames, 3 masks)', '  error',
        '2 videos, 6 frames, 6 masks']
    assert '00002.png: is not an image; ' in lines[1]


def test_one_mask_per_video_is_told_in_the_summary(run, data):
    for path in data.glob('Annotations/480p/*/0000[12].png'):
        path.unlink()
    status, out, _ = run('data')
    assert status == 0
    assert out.startswith('2 videos (2 with one mask only), 6 frames, 2 masks: 0 errors, 0 warn')


def test_fix_and_then_there_is_nothing_to_fix(run, data):
    for index in range(3):
        spoil(data, np.uint8([0, 255, 255])[LABELS[index]], f'{index:05d}.png')
    spoil(data, np.dstack([np.uint8([0, 255, 255])[LABELS[1, :-1]]] * 3))
    assert run('data')[0] == 1
    status, out, _ = run('data', '--fix', 'out')
    assert status == 0
    assert out.count('[repaired]') == 2  # colours and size
    assert 'out: 6 masks written, 6 other files copied, 0 errors not repaired' in out
    assert run('out') == (0, '2 videos, 6 frames, 6 masks: 0 errors, 0 warnings, 0 notes\n', '')
    fixed = decode_mask((Path('out') / 'Annotations/480p/cat/00001.png').read_bytes())
    assert np.array_equal(fixed, LABELS[1] > 0)


def test_what_cannot_be_fixed_is_marked_and_status_1(run, data):
    spoil(data, LABELS[0, 4:])
    status, out, _ = run('data', '--fix', 'out')
    assert status == 1
    assert out.count('[not repaired]') == 1
    assert '1 error not repaired' in out
    assert run('out')[0] == 1


def test_json(run, data):
    spoil(data, LABELS[1, :, 1:])
    assert run('data', '--json', 'sub/found.json')[0] == 0
    found = json.loads(Path('sub/found.json').read_text())
    assert found['counts'] == {'error': 0, 'warning': 1, 'note': 0}
    assert found['findings'] == []
    bear, cat = found['videos']
    assert bear == {'name': '480p/bear', 'frames': 3, 'masks': 3, 'findings': []}
    [finding] = cat['findings']
    assert finding['kind'] == 'mask-size'
    assert finding['path'] == 'data/Annotations/480p/cat/00001.png'
    assert finding['fixable'] is True
    assert finding['others'] == []


@pytest.mark.parametrize(('args', 'told'), [
    (['nowhere'], 'nowhere is not a folder'), (['empty'], 'JPEGImages/ and Annotations/'),
    (['data', '--fix', 'data/out'], 'inside'), (['data', '--fix', 'data'], 'inside'),
    (['data', '--fix', '.'], 'exists'), (['data', '--json', 'data'], 'is a folder')])
def test_wrong_usage_is_one_line_and_status_2(run, data, args, told):
    Path('empty').mkdir()
    status, out, err = run(*args)
    assert (status, out) == (2, '')
    assert err.startswith('error: ')
    assert told in err
    assert err.count('\n') == 1


def test_no_argument_is_status_2(run):
    assert run()[0] == 2


def test_it_starts_without_torch_and_the_engine(data):
    code = (f'import runpy, sys; sys.argv = ["x", {str(data)!r}]\n'
            f'try: runpy.run_path({str(TOOL)!r}, run_name="__main__")\n'
            'except SystemExit as stop: assert not stop.code\n'
            'assert not {"torch", "mmengine", "mmvos.registry"} & set(sys.modules)')
    subprocess.run([sys.executable, '-c', code], check=True, capture_output=True)
