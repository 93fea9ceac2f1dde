"""Counted operations equal closed forms, the table's ratios are right, every run is a child."""
import json
import runpy
import subprocess
import sys
from argparse import Namespace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmvos.models import STM, COSNet, VideoSegmentor
from mmvos.structures import VideoState

TOOLS = Path(__file__).parents[2] / 'tools/analysis_tools'
HEIGHT, WIDTH = 24, 40


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import benchmark
    return benchmark


@pytest.fixture
def config(tmp_path):
    """A tiny STM."""
    path = tmp_path / 'tiny.py'
    path.write_text(f"model = {dict(type='STM', **STM.example)!r}\n")
    return str(path)


class Counted(VideoSegmentor):
    """One convolution of the image, one of each object; a product that grows with the video."""

    def __init__(self):
        super().__init__()
        self.shared, self.own = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(1, 2, 1)
        self.seen = []

    def init_state(self, video):
        return VideoState()

    def segment(self, frame, state):
        batch, _, height, width = frame.image.shape
        self.shared(frame.image)
        _ = torch.ones(1, frame.index) @ torch.ones(frame.index, 1)
        return frame.image.new_zeros(batch, state.num_objects + 1, height, width)

    def memorize(self, frame, probs, state):
        self.seen.append(frame.index)
        self.own(probs[:, 1:].flatten(0, 1)[:, None])


def arguments(**changes):
    return Namespace(**{**dict(height=HEIGHT, width=WIDTH, frames=7, objects=[2], warm_up=3),
                        **changes})


@pytest.mark.parametrize(('objects', 'frames', 'warm_up', 'middle'), [
    (1, 7, 3, 7), (3, 7, 3, 7), (2, 1, 0, 3), (2, 20, 10, 17)])
def test_operations(tool, tmp_path, objects, frames, warm_up, middle):
    model = Counted().eval()
    args = arguments(objects=[objects], frames=frames, warm_up=warm_up)
    found = tool.measure(args, model, tmp_path)
    assert model.seen == list(range(frames + tool.COUNTED))
    # 2 operations x outputs x inputs of each; the counted frames lie around `middle`
    convolutions = 2 * HEIGHT * WIDTH * (4 * 3 * 9 + objects * 2)
    assert found['gflop'] * 1e9 == pytest.approx(convolutions + 2 * middle)
    assert set(found['seconds']) == {'start', 'decode', 'other', 'write'}


def test_counted_frames_take_no_time(tool, monkeypatch):
    clock = count()
    monkeypatch.setattr(tool.time, 'perf_counter', lambda: next(clock))
    timer = tool.StageTimer(torch.device('cpu'))
    for pause in (False, True, False):
        with timer.paused() if pause else tool.nullcontext(), timer.stage('other'), \
                timer.stage('match'):
            pass
    assert timer.seconds == {'other': 2 * (3 - 1), 'match': 2}  # a stage is two ticks of the clock


def test_stages_and_bank(tool, config, monkeypatch):
    monkeypatch.setattr(sys, 'argv', [
        'benchmark.py', config, '--height', '32', '--width', '48', '--frames', '2', '--objects',
        '2', '--cfg-options', 'model.memory.max_memory_mb=64', 'model.memory.every=1'])
    report = tool.run_one(tool.parse_args())
    assert all(report[name] > 0 for name in ('encode', 'match', 'head', 'memorize'))
    assert 'flow' not in report
    assert report['gflop'] > 0
    items = 2 + tool.COUNTED
    per_object = STM.example['key_channels'] + STM.example['decoder']['value_channels'] + 1 / 6
    mib = items * 2 * per_object * (2 * 3) * 4 / 2**20  # 2 objects, 2x3 cells, and `exists`
    assert report['banks'] == {'memory': dict(mib=pytest.approx(mib), limit_mib=64)}


@pytest.fixture
def cosnet(tmp_path):
    """A tiny COSNet, whose references are read before the first frame."""
    path = tmp_path / 'cosnet.py'
    path.write_text(f"model = {dict(type='COSNet', **COSNet.example)!r}\n")
    return str(path)


def test_what_is_done_once_for_the_video_is_shared_by_its_frames(tool, tmp_path, monkeypatch):
    clock = [0.]

    class Slow(Counted):
        def init_state(self, video):
            assert len(video) == 4 + tool.COUNTED
            clock[0] += 8
            return VideoState()

    monkeypatch.setattr(tool.time, 'perf_counter', lambda: clock[0])
    found = tool.measure(arguments(frames=4), Slow().eval(), tmp_path)
    assert found['seconds'] == dict(start=2, decode=0, other=0, write=0)


def test_a_method_that_looks_at_the_video_first(tool, cosnet, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', cosnet, '--height', '32', '--width', '48',
                                      '--frames', '4'])
    report = tool.run_one(tool.parse_args())
    assert report['objects'] == 1
    assert all(report[name] > 0 for name in ('start', 'encode', 'match'))
    assert report['state_mib'] == pytest.approx((8 * 3 * 5 * 6 * 4 + 3 * 8 + 1) / 2**20)


def test_a_method_without_masks_is_given_no_objects(tool, cosnet, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', cosnet, '--objects', '2'])
    with pytest.raises(ValueError, match='COSNet finds objects by itself; leave --objects out'):
        tool.run_one(tool.parse_args())


@pytest.mark.parametrize('masked', [False, True])
def test_attention_is_counted_as_two_products(tool, masked):
    """2 heads of 8 channels, 5 queries, 7 keys, in a batch of 3; a hidden pair counts, too."""
    query, key = torch.randn(3, 2, 5, 8), torch.randn(3, 2, 7, 8)
    seen = torch.arange(7).expand(5, 7) > 2 if masked else None
    with FlopCounterMode(display=False, custom_mapping=tool.ATTENTION) as counter:
        F.scaled_dot_product_attention(query, key, key, attn_mask=seen)
    assert counter.get_total_flops() == 2 * 2 * (3 * 2 * 5 * 7 * 8)


def report(objects, total, gflop):
    return dict(objects=objects, total=total, encode=total / 10, cpu=2 * total, gflop=gflop,
                peak_mib=500. + objects, device='a', threads=2, dtype='fp32')


def test_table(tool, capsys):
    tool.print_several([report(1, .5, 10.), report(10, 3., 50.)])
    rows = [[cell.strip() for cell in line.split('|')[1:-1]]
            for line in capsys.readouterr().out.splitlines() if line.startswith('|')]
    assert rows[1:] == [['1', '0.500', '0.050', '1.000', '1.00', '10.00', '1.00', '1.00', '501'],
                        ['10', '3.000', '0.300', '6.000', '6.00', '50.00', '5.00', '1.20', '510']]
    assert len(rows[0]) == len(rows[1])


def test_nothing_to_count(tool, capsys):
    tool.print_several([report(1, .5, 0.), report(5, 1., 0.)])
    assert '2.00' in capsys.readouterr().out


def test_runs_take_turns_and_the_fastest_counts(tool, monkeypatch, tmp_path, capsys):
    turns = []
    seconds = iter([3., 9., 2., 7., 4., 8.])

    def run(command, **_):
        *_, objects, _, path = command
        turns.append(int(objects))
        Path(path).write_text(json.dumps(report(int(objects), next(seconds), float(objects))))
        return Namespace(returncode=0)

    monkeypatch.setattr(tool.subprocess, 'run', run)
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', 'config.py', '--objects', '1', '5', '--json',
                                      str(tmp_path / 'all.json')])
    tool.main()
    assert turns == [1, 5] * 3
    found = json.loads((tmp_path / 'all.json').read_text())
    assert [(each['objects'], each['total']) for each in found] == [(1, 2.), (5, 7.)]


@pytest.mark.slow
def test_command(tool, config, tmp_path):
    found = subprocess.run(
        [sys.executable, TOOLS / 'benchmark.py', config, '--height', '32', '--width', '48',
         '--frames', '2', '--objects', '1', '3', '--repeat', '1', '--json', tmp_path / 'all.json'],
        capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.count('|') == 3 * 10
    one, three = json.loads((tmp_path / 'all.json').read_text())
    assert 1 < three['gflop'] / one['gflop'] < 3  # the query is encoded once


@pytest.mark.slow
def test_peak_is_that_of_the_process(tool):
    block = np.ones(2**30, np.uint8)  # a process begins with the ru_maxrss of its parent
    found = subprocess.run([sys.executable, '-W', 'ignore', '-c',
                            'import benchmark; print(benchmark.peak_mib())'],
                           cwd=TOOLS, capture_output=True, text=True, check=True)
    assert 50 < float(found.stdout.split()[-1]) < block.nbytes / 2**20


@pytest.mark.parametrize(('changes', 'message'), [
    (['--objects', '1', '0'], 'should be 1 or more'), (['--frames', '0'], 'should be 1 or more'),
    (['--repeat', '0'], 'should be 1 or more'), (['--objects', '256'], 'at most 255, got 256')])
def test_mistakes(tool, changes, message, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', 'config.py', *changes])
    with pytest.raises(ValueError, match=message):
        tool.main()


def test_error_of_a_child(tool, monkeypatch, capfd):
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', 'no_such.py', '--objects', '1', '2'])
    monkeypatch.setattr(tool.subprocess, 'run', lambda *_, **__: Namespace(returncode=2))
    with pytest.raises(SystemExit, match='2'):
        tool.main()


def test_attention_of_three_streams(monkeypatch, capsys):
    """Counted operations are the closed form, the fractions of its docstring."""
    monkeypatch.setattr(sys, 'argv', ['benchmark_attention.py', '--height', '32', '--width', '48',
                                      '--references', '2', '--objects', '3', '--channels', '16',
                                      '--heads', '2', '--repeat', '1'])
    runpy.run_path(str(TOOLS / 'benchmark_attention.py'), run_name='__main__')
    rows = [[cell.strip() for cell in line.split('|')[1:-1]]
            for line in capsys.readouterr().out.splitlines() if line.startswith('|')]
    expected = f'{(9 + 2 * 6 * 9 + 36 * 3) / 21**2:.3f}'
    assert rows[1][:4] == ['2', '21', expected, expected]
    assert float(rows[1][4]) > 0
