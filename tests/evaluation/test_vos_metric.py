"""Oracles: the offline evaluation of the same masks, vos-benchmark, hand-made videos."""
import json
import subprocess
import sys
import threading

import numpy as np
import pytest
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import Evaluator
from PIL import Image
from vos_benchmark.evaluator import Evaluator as Peer

from mmvos.datasets import DAVIS
from mmvos.evaluation import build_protocol, evaluate_pairs, find_ground_truth, pair_folders
from mmvos.evaluation.metrics import VOSMetric, vos
from mmvos.evaluation.protocols import find_protocol
from mmvos.io import InputError, encode_mask
from mmvos.registry import METRICS
from mmvos.structures import MaskArrays, MaskFiles, VOSDataSample

SIZE = (40, 56)


def maps(length, ids, shift=0):
    """(T, H, W): a moving bar per id, `shift` pixels off."""
    labels = np.zeros((length, *SIZE), np.uint8)
    for t in range(length):
        for row, label in enumerate(ids):
            labels[t, 2 + 11 * row + shift:12 + 11 * row, 6 + t % 5:30 + shift] = label
    return labels


def sample(name, pred, gt, indices=None):
    indices = range(len(gt)) if indices is None else indices
    item = VOSDataSample(metainfo=dict(
        video_name=name, frame_names=[f'{t:05d}' for t in range(len(gt))],
        truth=MaskArrays({index: gt[index] for index in indices})))
    item.pred_masks = [encode_mask(frame) for frame in pred]
    return item


def late(labels, label, start):
    labels[:start][labels[:start] == label] = 0
    return labels


# An odd number, so that two ranks do not have equally many; one video is of more than one part.
VIDEOS = [('b', maps(7, (1, 2, 3), 2), maps(7, (1, 2, 3))), ('c', maps(5, (1,), 1), maps(5, (1,))),
          ('a', maps(100, (2,), 4), late(maps(100, (2, 5)), 5, 60))]


def evaluate(metric, videos=VIDEOS):
    evaluator = Evaluator(metric)
    for video in videos:
        evaluator.process([sample(*video)])
    return evaluator.evaluate(len(videos))


class Log:
    """Keeps what the metric prints and the report behind it."""

    def __init__(self, monkeypatch):
        self.texts, self.reports = [], []
        report = vos.Report

        def build(*args):
            self.reports.append(report(*args))
            return self.reports[-1]

        monkeypatch.setattr(vos, 'Report', build)
        monkeypatch.setattr(vos, 'print_log', lambda text, logger: self.texts.append(text))

    def last(self):
        return self.texts[-1], json.dumps(self.reports[-1].as_dict())


@pytest.fixture
def log(monkeypatch):
    return Log(monkeypatch)


def test_averages_over_objects_equal_vos_benchmark():
    regions, boundaries = [], []
    for name, pred, gt in VIDEOS[:2]:
        peer = Peer(name=name)
        for frame in zip(pred[1:-1], gt[1:-1], strict=True):
            peer.feed_frame(*frame)
        j, f = peer.conclude()
        regions += j.values()
        boundaries += f.values()
    metric = METRICS.build(dict(type='VOSMetric', protocol='davis2017', num_workers=0))
    result = evaluate(metric, VIDEOS[:2])
    assert result['J'] == pytest.approx(np.mean(regions) / 100, abs=1e-12)
    assert result['F'] == pytest.approx(np.mean(boundaries) / 100, abs=1e-12)
    assert result['J&F'] == pytest.approx((result['J'] + result['F']) / 2, abs=1e-12)
    assert result['J'] < 0.95


@pytest.mark.parametrize('protocol', [
    'davis2017', 'davis2016', 'davis2017-unsupervised', 'youtube-vos', 'folder', 'mamp-inloop',
    dict(type='davis2017', official_compat=True, stability=True)])
def test_same_table_in_the_loop_and_offline(tmp_path, log, protocol):
    for name, *both in VIDEOS:
        for folder, labels in zip(('results', 'truth'), both, strict=True):
            (tmp_path / folder / name).mkdir(parents=True)
            for t, frame in enumerate(labels):
                (tmp_path / folder / name / f'{t:05d}.png').write_bytes(encode_mask(frame))
    options = {'type': protocol} if isinstance(protocol, str) else dict(protocol)
    name = options.pop('type')
    rule = build_protocol(name, **options)
    truth = find_ground_truth(tmp_path / 'truth', find_protocol(name))
    offline = evaluate_pairs(pair_folders(tmp_path / 'results', truth, rule), rule)
    result = evaluate(VOSMetric(protocol, num_workers=0))
    assert log.last() == ('\n' + offline.table(), json.dumps(offline.as_dict()))
    assert str(result) == str(offline.summary)  # NaN in the place of NaN


@pytest.mark.parametrize('year', ['2016', '2017'])
def test_davis_in_the_loop_and_its_folders_offline(tmp_path, log, year):
    predicted = {name: pred for name, pred, _ in VIDEOS}
    listed = tmp_path / f'ImageSets/{year}/val.txt'
    listed.parent.mkdir(parents=True)
    listed.write_text('\n'.join(predicted))
    for name, pred, gt in VIDEOS:
        frames, truth, results = (tmp_path / kind / name for kind in
                                  ('JPEGImages/480p', 'Annotations/480p', 'results'))
        gt = (gt > 0) * np.uint8(255) if year == '2016' else gt.copy()
        gt[1, -3:] = 255  # foreground or void
        for t in range(len(gt)):
            for folder in (frames, truth, results):
                folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((*SIZE, 3), t, np.uint8)).save(frames / f'{t:05d}.jpg')
            (truth / f'{t:05d}.png').write_bytes(encode_mask(gt[t]))
            (results / f'{t:05d}.png').write_bytes(encode_mask(pred[t]))
    rule = build_protocol(f'davis{year}')
    offline = evaluate_pairs(pair_folders(tmp_path / 'results', find_ground_truth(tmp_path, rule),
                                          rule), rule)
    metric = VOSMetric(f'davis{year}')
    for item in DAVIS(str(tmp_path), year):
        sample = item['data_samples']
        sample.pred_masks = [encode_mask(frame) for frame in predicted[sample.video_name]]
        metric.process(None, [sample.to_dict()])
    metric.evaluate(len(VIDEOS))
    assert log.last() == ('\n' + offline.table(), json.dumps(offline.as_dict()))
    assert 0.5 < offline.summary['J'] < 1


def test_void_alone_on_a_frame_is_void_in_the_loop_too(tmp_path):
    """Not the one object of a 0/255 mask."""
    gt, pred = maps(5, (1,)), maps(5, (1,))
    gt[2], pred[2] = 0, 0
    gt[2, :3] = 255
    paths = {t: tmp_path / f'{t:05d}.png' for t in range(5)}
    for t, path in paths.items():
        path.write_bytes(encode_mask(gt[t]))
    metric = VOSMetric('davis2017', num_workers=0)
    item = {**sample('clip', pred, gt).to_dict(), 'truth': MaskFiles(paths, raw=True)}
    assert evaluate_pairs([vos.as_pair(item)], metric.protocol).summary['J'] == 1


def test_threads_change_nothing(log):
    found = []
    for count in (0, 1, 4):
        metric = VOSMetric('davis2017', num_workers=count)
        for _ in range(2):  # nothing is left for the second run
            result = evaluate(metric)
            found.append((result, *log.last()))
            assert metric._pool is None
            assert metric.results == []
    assert found == [found[0]] * 6
    assert not [thread for thread in threading.enumerate() if 'mmvos-evaluation' in thread.name]


def test_rows_are_sorted_and_videos_without_counted_frames_listed(log):
    still = ('two_frames', maps(2, (1,)), maps(2, (1,)))
    twin = ('c_', maps(5, (1,)), maps(5, (1,)))
    evaluate(VOSMetric('davis2017', num_workers=0), [*VIDEOS, still, twin])
    cells = [[cell.strip() for cell in line.split('|')[1:-1]]
             for line in log.texts[-1].splitlines() if line.startswith('|')]
    assert cells[0] == ['video', 'objects', 'J&F', 'J', 'J-recall', 'J-decay', 'F', 'F-recall',
                        'F-decay']
    assert [row[:2] for row in cells[1:]] == [['a', '2'], ['b', '3'], ['c', '1'], ['c_', '1'],
                                              ['two_frames', '0'], ['all', '7']]
    assert cells[5][2:] == ['-'] * 7
    assert cells[4][2:] == ['1.000', '1.000', '1.000', '0.000', '1.000', '1.000', '0.000']


def test_two_videos_of_one_name_are_refused():
    with pytest.raises(InputError, match="two videos are called 'c'"):
        evaluate(VOSMetric('davis2017', num_workers=0), [*VIDEOS, VIDEOS[1]])


def test_the_metric_works_again_after_a_mistake():
    metric = VOSMetric('davis2017', num_workers=0)
    with pytest.raises(InputError, match='at least one frame that counts'):
        evaluate(metric, [('d', maps(2, (1,)), maps(2, (1,)))])
    assert evaluate(metric) == evaluate(VOSMetric('davis2017', num_workers=0))


def test_annotation_of_some_frames(log):
    gt, pred = maps(20, (1, 2)), maps(20, (1, 2), 1)
    metric = VOSMetric('folder', num_workers=0)
    for indices in ([0, 5, 10, 15], [3, 19]):
        metric.process(None, [sample('clip', pred, gt, indices).to_dict()])
        metric.evaluate(1)
        found = log.reports[-1].videos[0]
        assert found.frames == [f'{index:05d}' for index in indices]
        dense = evaluate_pairs([vos.as_pair(sample('clip', pred, gt).to_dict())],
                               build_protocol('folder'))
        for sparse, whole in zip(found.objects, dense.videos[0].objects, strict=True):
            assert sparse.j.tolist() == whole.j[indices].tolist()


def test_protocols_options_are_not_changed():
    protocol = dict(type='davis2017', official_compat=True)
    assert VOSMetric(protocol).protocol.official_compat
    assert protocol == dict(type='davis2017', official_compat=True)
    with pytest.raises(InputError, match='did you mean davis2017'):
        VOSMetric('davis207')
    for wrong in (None, dict(name='davis2017')):
        with pytest.raises(InputError, match='expected a name or dict'):
            VOSMetric(wrong)


def test_nothing_to_compare():
    metric = VOSMetric('davis2017', num_workers=0)
    with pytest.raises(ValueError, match="'b': expected annotations"):
        metric.process(None, [dict(video_name='b', pred_masks=[], truth=None)])
    with pytest.raises(ValueError, match="'b': expected annotations"):
        metric.process(None, [dict(video_name='b', pred_masks=[], truth=MaskArrays({}))])
    with pytest.raises(ValueError, match=r"'b': .* got 4 masks and an annotation of frame 4"):
        metric.process(None, [sample('b', maps(4, (1,)), maps(5, (1,))).to_dict()])
    with pytest.raises(ValueError, match='at least one frame that counts, got 1 videos'):
        evaluate(metric, [('d', maps(2, (1,)), maps(2, (1,)))])


@pytest.mark.parametrize('num_workers', [0, 1])
@pytest.mark.parametrize(('pred', 'told'), [
    (maps(5, (1, 2)), r"video 'e', frame 00001 has ids \[2\], .* has \[1\]"),
    (maps(5, (1,))[..., 1:], r"prediction of video 'e', frame 00001 is 55x40 .* annotation "
                             r"of video 'e', frame 00001 is 56x40")])
def test_error_in_a_thread_reaches_the_user_and_closes_the_pool(num_workers, pred, told):
    metric = VOSMetric('davis2017', num_workers=num_workers)
    with pytest.raises(InputError, match=told):
        evaluate(metric, [VIDEOS[1], ('e', pred, maps(5, (1,))), VIDEOS[0]])
    assert metric._pool is None
    metric.close()
    if num_workers:
        assert metric.results == []
        assert evaluate(metric) == evaluate(VOSMetric('davis2017', num_workers=0))


def run_rank(rank, folder):
    """One of two processes of a distributed test; prints what rank 0 logs and every result."""
    import torch.distributed

    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/meet', rank=rank,
                                         world_size=2)
    vos.print_log = lambda text, logger: print(json.dumps(['table', text]))
    evaluator = Evaluator(VOSMetric('davis2017', num_workers=1))
    for index in DefaultSampler(VIDEOS, shuffle=False):
        evaluator.process([sample(*VIDEOS[index])])
    print(json.dumps(['result', evaluator.evaluate(len(VIDEOS))]))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_give_the_same_table(tmp_path, log):
    """The sampler gives the second rank a copy of a video, which does not count twice."""
    ranks = [subprocess.Popen([sys.executable, __file__, str(rank), str(tmp_path)], cwd=tmp_path,
                              stdout=subprocess.PIPE, text=True) for rank in (0, 1)]
    texts = [process.communicate(timeout=300)[0] for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0]
    printed = [[json.loads(line) for line in text.splitlines() if line.startswith('["')]
               for text in texts]
    result = evaluate(VOSMetric('davis2017', num_workers=0))
    assert printed[0] == [['table', log.texts[-1]], ['result', result]]
    assert printed[1] == [['result', result]]


if __name__ == '__main__':
    run_rank(int(sys.argv[1]), sys.argv[2])
