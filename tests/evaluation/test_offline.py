"""Oracles: the same work in another number of parts and processes, T of whole videos."""
import subprocess
import sys

import numpy as np
import pytest

from mmvos.evaluation import (
    build_protocol,
    evaluate_pairs,
    find_ground_truth,
    pair_folders,
    scoring,
    temporal_stability,
)
from mmvos.evaluation.labels import LabelPNGs, VideoPair
from mmvos.evaluation.protocols import PROTOCOLS, find_protocol
from mmvos.io import InputError, encode_mask

SIZE = (40, 56)


def video(length, ids, seed):
    """(T, H, W) truth and prediction; a bar per id, the last of them from frame 2 on."""
    rng = np.random.default_rng(seed)
    gt, pred = np.zeros((2, length, *SIZE), np.uint8)
    for row, label in enumerate(ids):
        for maps, sizes in zip((gt, pred), rng.integers(8, 40, (2, length)), strict=True):
            for t in range(2 * (label == ids[-1]), length):
                maps[t, 2 + 12 * row:10 + 12 * row, 4 + t % 9:4 + sizes[t]] = label
    return gt, pred


VIDEOS = {'car_2': video(60, (1, 2, 3), 1), 'car_10': video(9, (1,), 2),
          'dog_1': video(21, (4,), 3)}


def pngs(maps, name='clip'):
    return LabelPNGs({t: encode_mask(labels) for t, labels in enumerate(maps)}, name,
                     [f'{t:05d}' for t in range(len(maps))])


def pairs(videos=VIDEOS):
    return [VideoPair(name, [f'{t:05d}' for t in range(len(gt))], pngs(gt), pngs(pred))
            for name, (gt, pred) in videos.items()]


def put(root):
    for name, maps in VIDEOS.items():
        for folder, labels in zip(('truth', 'results'), maps, strict=True):
            (root / folder / name).mkdir(parents=True)
            for t, frame in enumerate(labels):
                (root / folder / name / f'{t:05d}.png').write_bytes(encode_mask(frame))


@pytest.mark.parametrize('protocol', sorted(PROTOCOLS))
@pytest.mark.parametrize('part', [1, 7, 1000])
def test_parts_change_nothing(protocol, part, monkeypatch):
    expected = evaluate_pairs(pairs(), build_protocol(protocol))
    monkeypatch.setattr(scoring, 'PART', part)
    found = evaluate_pairs(reversed(pairs()), build_protocol(protocol))
    assert found.as_dict() == expected.as_dict()
    assert found.table() == expected.table()


@pytest.mark.parametrize('part', [4, 48])
def test_stability_across_parts_equals_that_of_the_whole_video(part, monkeypatch):
    monkeypatch.setattr(scoring, 'PART', part)
    found = evaluate_pairs(pairs(), build_protocol('folder', stability=True))
    for result in found.videos:
        for item in result.objects:
            np.testing.assert_array_equal(
                item.t, temporal_stability(VIDEOS[result.name][1] == item.label))
    assert found.summary['T'] > 0


@pytest.mark.slow
@pytest.mark.parametrize('protocol', ['davis2017', 'davis2017-unsupervised'])
def test_processes_change_nothing(tmp_path, protocol):
    put(tmp_path)
    truth = find_ground_truth(tmp_path / 'truth', find_protocol(protocol))
    rule = build_protocol(protocol, stability=True)
    reports = [evaluate_pairs(pair_folders(tmp_path / 'results', truth, rule), rule,
                              num_workers=count) for count in (0, 1, 4)]
    in_memory = evaluate_pairs(pairs(), rule)
    for found in reports:
        assert found.table() == in_memory.table()
        assert found.as_dict() == in_memory.as_dict()


@pytest.mark.slow
def test_error_in_a_process_reaches_the_user(tmp_path):
    put(tmp_path)
    (tmp_path / 'results/dog_1/00004.png').write_bytes(b'')
    truth, rule = (find_ground_truth(tmp_path / 'truth', find_protocol('folder')),
                   build_protocol('folder'))
    for count in (0, 2):
        with pytest.raises(InputError, match='dog_1/00004.png is not an image'):
            evaluate_pairs(pair_folders(tmp_path / 'results', truth, rule), rule,
                           num_workers=count)


def test_parts_carry_no_more_than_their_frames():
    class Executor(scoring.InThisProcess):
        def submit(self, fn, pair, *args):
            sent.append((sorted(pair.truth.pngs), sorted(pair.pred.pngs)))
            return super().submit(fn, pair, *args)

    sent = []
    gt, pred = VIDEOS['car_2']
    protocol = build_protocol('davis2017', stability=True)
    futures = scoring.submit(Executor(), pairs()[0], protocol.counted(range(len(gt))),
                             protocol.rules)
    assert [sorted(future.result()) for future in futures] == [[*range(49)], [*range(49, 59)]]
    # the first frame, of which only the truth counts; the frame before, for T
    assert [frames[0] for frames in sent] == [[*range(49)], [*range(48, 59)]]


def test_progress_is_no_part_of_the_result(monkeypatch, capsys):
    expected = evaluate_pairs(pairs(), build_protocol('davis2017')).as_dict()
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True, raising=False)
    assert evaluate_pairs(pairs(), build_protocol('davis2017')).as_dict() == expected
    assert capsys.readouterr().out == ''


def test_import_is_light():
    code = ('import sys, mmvos.evaluation, mmvos.evaluation.protocols; '
            'mmvos.evaluation.build_protocol("davis2017-unsupervised"); '
            'sys.exit(" ".join({"torch", "mmengine", "scipy", "matplotlib", "rich", '
            '"mmvos.registry"} & set(sys.modules)) or 0)')
    done = subprocess.run([sys.executable, '-c', code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, '')
