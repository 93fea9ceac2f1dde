"""The benchmark's plain J and F equal ours and brute force; every part runs and prints its rows."""
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmvos.evaluation import evaluate_pairs, find_ground_truth, pair_folders
from mmvos.evaluation.functional import boundary_accuracy, region_similarity
from mmvos.evaluation.protocols import DAVIS2016
from mmvos.io import encode_mask
from mmvos.models import MAMP

ROOT = Path(__file__).parents[2]
SIZE = (40, 56)
SMALL = {'test_dataloader.dataset.num_videos': 2, 'test_dataloader.dataset.length': 4,
         'test_dataloader.dataset.size': (48, 64), 'model.matching_head.radius': 3}


@pytest.fixture
def tool(monkeypatch):
    """The tool as a module that its worker processes can import too."""
    monkeypatch.syspath_prepend(str(ROOT / 'tools/analysis_tools'))
    import benchmark_evaluator
    return benchmark_evaluator


def blobs(seed):
    """A mask that touches the frame's edge."""
    noise = np.random.default_rng(seed).random(SIZE).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 3) > .5


def masks():
    empty, full, pixel = np.zeros(SIZE, bool), np.ones(SIZE, bool), np.zeros(SIZE, bool)
    pixel[-1, -1] = True
    return [empty, full, pixel, *map(blobs, range(4))]


def write(folder, ids):
    """Two videos of five frames; ids 1 and 3, or 255, are the object."""
    for video, seed in (('a', 0), ('b', 10)):
        (folder / video).mkdir(parents=True)
        for t in range(5):
            labels = np.choose(blobs(seed + t), [np.uint8(0), np.resize(np.uint8(ids), SIZE)])
            (folder / video / f'{t:05d}.png').write_bytes(encode_mask(labels))


@pytest.fixture
def folders(tmp_path):
    write(tmp_path / 'results', [1, 3])
    for path in sorted((tmp_path / 'results').rglob('*.png')):
        target = tmp_path / 'truth' / path.relative_to(tmp_path / 'results')
        target.parent.mkdir(parents=True, exist_ok=True)
        moved = np.roll(blobs(int(path.stem) + 10 * (path.parent.name == 'b')), 3, 1)
        target.write_bytes(encode_mask(np.where(moved, np.uint8(255), np.uint8(0))))
    return tmp_path / 'results', tmp_path / 'truth'


def test_plain_boundary_is_the_definition(tool):
    for mask in masks():
        height, width = mask.shape
        expected = [[any(mask[y, x] != mask[p] for p in ((y, x + 1), (y + 1, x), (y + 1, x + 1))
                         if p[0] < height and p[1] < width)
                     for x in range(width)] for y in range(height)]
        assert tool.plain_boundary(mask).tolist() == expected


def test_plain_scores_are_ours(tool):
    pairs = [(pred, gt) for pred in masks() for gt in masks()]
    plain = np.array([tool.plain_scores(*pair) for pair in pairs])
    stacks = [np.stack(each) for each in zip(*pairs, strict=True)]
    ours = np.stack([region_similarity(*stacks), boundary_accuracy(*stacks)], 1)
    assert 0 < ours.mean() < 1
    np.testing.assert_allclose(plain, ours, rtol=0, atol=1e-12)


def test_copies_are_what_the_protocol_compares(tool, folders, tmp_path):
    pairs = pair_folders(folders[0], find_ground_truth(folders[1], DAVIS2016), DAVIS2016())
    copies = tool.binary_copy(pairs, tmp_path / 'copies')
    assert {path.is_symlink() for pair in copies for path in pair.truth.paths.values()} == {True}
    for pair, copy in zip(pairs, copies, strict=True):
        for t in range(5):
            assert np.array_equal(copy.pred.read(t), 255 * (pair.pred.read(t) > 0))
    report, expected = (evaluate_pairs(each, DAVIS2016()) for each in (copies, pairs))
    assert report.as_dict() == expected.as_dict()
    plain = tool.run_plain(copies)
    for video in report.videos:
        ours = np.stack([video.objects[0].j, video.objects[0].f], 1)
        np.testing.assert_allclose(plain[video.name], ours, rtol=0, atol=1e-12)


def test_rows_take_turns(tool, capsys):
    turns = []
    rows = {name: lambda name=name: turns.append(name) or len(turns) for name in 'ab'}
    seconds, results = tool.interleaved(rows, 2)
    assert turns == ['a', 'b', 'a', 'b']
    assert results == {'a': 3, 'b': 4}
    tool.print_seconds({'a': [4., 2., 3.], 'b': [1., 1., 1.]}, 10, 'b')
    assert re.search(r'a \|\s+2.000 \|\s+3.000 \|\s+200.00 \|\s+2.000 ', capsys.readouterr().out)


def test_loop(tool, tmp_path, capsys):
    torch.manual_seed(0)
    torch.save(MAMP(**MAMP.example).state_dict(), tmp_path / 'weights.pth')
    tool.measure_loop(str(ROOT / 'configs/mamp/mamp_r18_synthetic.py'),
                      str(tmp_path / 'weights.pth'), SMALL, 1)
    out = capsys.readouterr().out
    assert '8 frames, 1 runs' in out
    assert 'prediction alone' in out
    assert re.search(r'adds [+-][\d.]+%; its own CPU time, \d+\.\d+ s', out)


@pytest.mark.slow
def test_memory_does_not_grow_with_frames(tool, capsys):
    tool.measure_memory([('folder', (240, 432), 3, 3, frames) for frames in (40, 400)], 1)
    rows = re.findall(r'folder \|\s+432x240 .*\|\s+(\d+) \|\s+(\d+) \|', capsys.readouterr().out)
    peaks = np.array(rows, float)
    assert peaks.shape == (2, 2)
    assert (peaks > 20).all()
    assert (np.abs(peaks[1] - peaks[0]) < 10).all()  # 360 more frames would be 70 MiB


@pytest.mark.slow
def test_command(folders):
    found = subprocess.run([sys.executable, ROOT / 'tools/analysis_tools/benchmark_evaluator.py',
                            *folders, '--repeat', '1'], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    for row in ('6 frames', 'plain, 1 process', 'vos-benchmark', 'mmvos ', 'mmvos, command line'):
        assert row in found.stdout
    ours, peer = map(float, re.search(r'mmvos (0\.\d+), vos-benchmark (\d+\.\d+) %',
                                      found.stdout).groups())
    assert peer == pytest.approx(100 * ours, abs=1e-3)


@pytest.mark.parametrize(('arguments', 'message'), [
    ([], 'expected RESULTS GROUND_TRUTH'), (['results'], 'expected RESULTS GROUND_TRUTH'),
    (['--memory', '--workers', '0'], 'should be 1 or more')])
def test_mistakes(tool, arguments, message, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['benchmark_evaluator.py', *arguments])
    with pytest.raises(ValueError, match=message):
        tool.main()
