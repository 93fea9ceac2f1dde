"""The command lines: the same masks on every run, PNGs that score the same, clear refusals."""
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mmvos.apis import exit_with_message
from mmvos.datasets import SyntheticVOS
from mmvos.engine.hooks import FrameProgressHook
from mmvos.evaluation.functional import boundary_accuracy, mean_recall_decay, region_similarity
from mmvos.io import InputError, encode_mask, read_mask
from mmvos.models import MAMP, VOSResNet18
from mmvos.registry import MODELS

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/mamp/mamp_r18_synthetic.py'
SMALL = ['test_dataloader.dataset.num_videos=2', 'test_dataloader.dataset.length=6',
         'test_dataloader.dataset.size=(48,64)', 'test_evaluator.num_workers=0',
         'model.matching_head.radius=3', 'log_level=WARNING']


def run(tool, *arguments, monkeypatch):
    """Run tools/<tool>.py in this process as the shell would."""
    spec = importlib.util.spec_from_file_location(f'tool_{tool}', ROOT / f'tools/{tool}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, 'argv', [f'tools/{tool}.py', *map(str, arguments)])
    exit_with_message(module.main)


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / 'weights.pth'
    torch.save(MAMP(**MAMP.example).state_dict(), path)
    return path


def pngs(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*.png')}


def test_masks_are_bitwise_the_same_on_every_run(weights, tmp_path, monkeypatch):
    found = []
    for name, workers in (('a', 0), ('b', 0), ('c', 2)):
        run('test', CONFIG, weights, '--work-dir', tmp_path / 'wd' / name, '--out', tmp_path / name,
            '--cfg-options', *SMALL, f'test_dataloader.num_workers={workers}',
            monkeypatch=monkeypatch)
        found.append(pngs(tmp_path / name))
    assert len(found[0]) == 12
    assert found[0] == found[1] == found[2]


def test_without_masks(tmp_path, monkeypatch):
    """An ellipse, whatever the masks of the videos are; it is compared with all objects as one."""
    config = ROOT / 'configs/cosnet/cosnet_r18_synthetic.py'
    run('test', config, '--work-dir', tmp_path / 'wd', '--out', tmp_path / 'out', '--cfg-options',
        *SMALL[:4], 'log_level=WARNING', 'model._delete_=True', 'model.type=CentrePrior',
        monkeypatch=monkeypatch)
    y, x = np.mgrid[:48, :64]
    ellipse = (((2 * y + 1) / 48 - 1) / .5)**2 + (((2 * x + 1) / 64 - 1) / .5)**2 < 1
    paths = list((tmp_path / 'out').rglob('*.png'))
    assert len(paths) == 12
    assert all(np.array_equal(read_mask(path), ellipse) for path in paths)
    videos = SyntheticVOS(num_videos=2, length=6, size=(48, 64)).videos
    scores = []
    for video in videos:  # the protocol leaves out the first and the last frame
        truth = np.stack([video.labels(t) > 0 for t in range(1, 5)])
        scores.append(region_similarity(np.stack([ellipse] * 4), truth).mean())
    logged = [json.loads(file.read_text()) for file in (tmp_path / 'wd').glob('*/*.json')][0]
    assert logged['J'] == pytest.approx(np.mean(scores), abs=1e-12)


def test_videos_with_first_masks_alone(tmp_path, monkeypatch, capsys):
    """Nothing is scored: the refusal says how to go on, and then masks are written."""
    mask = np.zeros((16, 24), np.uint8)
    mask[4:9, 5:12] = 1
    for kind, names in (('JPEGImages', ('0.png', '1.png')), ('Annotations', ('0.png',))):
        for name in names:
            path = tmp_path / kind / '480p/ant' / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_mask(mask))
    (tmp_path / 'ImageSets/2016').mkdir(parents=True)
    (tmp_path / 'ImageSets/2016/val.txt').write_text('ant\n')
    command = ('test', ROOT / 'configs/baselines/first_mask_davis2016.py', '--work-dir',
               tmp_path / 'wd', '--out', tmp_path / 'out', '--cfg-options',
               f'test_dataloader.dataset.data_root={tmp_path}', 'log_level=WARNING')
    with pytest.raises(SystemExit):
        run(*command, monkeypatch=monkeypatch)
    assert 'set test_evaluator=[]' in capsys.readouterr().err
    run(*command, 'test_evaluator=[]', monkeypatch=monkeypatch)
    assert all(np.array_equal(read_mask(tmp_path / f'out/ant/{t}.png'), mask) for t in range(2))


def test_a_refiner_by_options(weights, tmp_path, monkeypatch, capfd):
    """It is reported while it trains, and what it says is written."""
    refiner = ['model.refiner.type=OnlineAdaptation', 'model.refiner.iterations=2',
               'model.refiner.size=48', 'model.refiner.base_channels=4']
    reports, on_report = [], FrameProgressHook.on_report
    monkeypatch.setattr(FrameProgressHook, 'on_report',
                        lambda hook, *step: (reports.append(step), on_report(hook, *step)))
    for name, more in (('plain', []), ('refined', refiner)):
        run('test', CONFIG, weights, '--work-dir', tmp_path / 'wd', '--out', tmp_path / name,
            '--cfg-options', *SMALL, *more, monkeypatch=monkeypatch)
    once = [*(('segment', n, 6) for n in range(1, 7)), ('adapt', 1, 2), ('adapt', 2, 2)]
    assert reports == once * 2  # videos
    plain, refined = pngs(tmp_path / 'plain'), pngs(tmp_path / 'refined')
    assert plain.keys() == refined.keys()
    assert plain != refined
    first = [name for name in plain if name.endswith('00000.png')]
    assert [plain[name] for name in first] == [refined[name] for name in first]


@pytest.mark.parametrize(('dtype', 'expected'), [('fp32', torch.float32), ('bf16', torch.bfloat16)])
def test_features_have_the_type_that_was_asked_for(dtype, expected, weights, tmp_path,
                                                   monkeypatch):
    found, forward = set(), VOSResNet18.forward

    def spy(self, x):
        out = forward(self, x)
        found.add(out[-1].dtype)
        return out
    monkeypatch.setattr(VOSResNet18, 'forward', spy)
    run('test', CONFIG, weights, '--work-dir', tmp_path, '--dtype', dtype, '--cfg-options', *SMALL,
        monkeypatch=monkeypatch)
    assert found == {expected}


def test_pngs_score_what_the_test_printed(weights, tmp_path, monkeypatch):
    run('test', CONFIG, weights, '--work-dir', tmp_path / 'wd', '--out', tmp_path / 'out',
        '--cfg-options', *SMALL, monkeypatch=monkeypatch)
    logged = [json.loads(file.read_text()) for file in (tmp_path / 'wd').glob('*/*.json')][0]
    data = SyntheticVOS(num_videos=2, length=6, size=(48, 64), seed=0)
    scores = []
    for video in data.videos:
        labels = np.stack([video.labels(t) for t in range(6)])
        pred = np.stack([read_mask(tmp_path / 'out' / video.name / f'{t:05d}.png')
                         for t in range(6)])
        for key, start in enumerate(video.starts, 1):
            frames = slice(max(1, start + 1), 5)
            pair = pred[frames] == key, labels[frames] == key
            scores.append([mean_recall_decay(f(*pair))[0]
                           for f in (region_similarity, boundary_accuracy)])
    assert [logged['J'], logged['F']] == pytest.approx(np.mean(scores, 0).tolist(), abs=1e-12)


@pytest.mark.parametrize(('tool', 'arguments', 'message'), [
    ('test', ['nowhere.py'], 'does not exist'),
    ('train', [ROOT / 'README.md'], 'or give the path of a config (.py)'),
    ('train', ['mamp_r81'], 'did you mean mamp_r18'),
    ('train', [ROOT / 'configs/mamp/mamp_r18_davis2016.py'], 'tools/test.py'),
    ('train', [ROOT / 'configs/mamp/mamp_r18_clips.py', '--cfg-options',
               "train_dataloader.dataset.source.roots=['nowhere']"], 'roots'),
    ('test', [ROOT / 'configs/baselines/dis_davis2016.py', '--cfg-options',
              'test_dataloader.dataset.data_root=nowhere'], 'https://davischallenge.org'),
    ('test', [ROOT / 'configs/mamp/mamp_r18_clips.py', 'mamp_r18'], 'no test_dataloader'),
    ('train', [ROOT / 'configs/mamp/mamp_r18_clips.py', '--resume'], 'nothing to resume'),
    ('test', [CONFIG, '--cfg-options', *SMALL], 'needs weights; give them after it'),
    ('test', [CONFIG, 'mamp_r18', '--cfg-options', *SMALL, 'model.up_sample=x'],
     "MAMP has no argument 'up_sample', did you mean 'upsample'?"),
    ('test', [CONFIG, 'mamp_r18', '--cfg-options', *SMALL, 'test_dataloader.dataset.num_video=1'],
     "SyntheticVOS has no argument 'num_video', did you mean 'num_videos'?"),
    ('test', [CONFIG, 'mamp_r18', '--cfg-options', *SMALL, 'test_dataloader.dataset.indices=[2]'],
     'SyntheticVOS has 2 videos, counted from 0, got indices=[2]'),
    ('test', [CONFIG, 'mamp_r18', '--cfg-options', 'model.type=MAMB'],
     "MAMB is not registered, did you mean 'MAMP'?"),
    ('test', [CONFIG, 'mamp_r18', '--cfg-options', 'model.type=mine.Other'],
     'If it belongs to another package'),
    ('test', [CONFIG, 'mamp_r18', '--cfg-options', 'test_evaluater.protocol=davis2017'],
     "a config has no 'test_evaluater', did you mean 'test_evaluator'?"),
    ('train', [ROOT / 'configs/mamp/mamp_r18_clips.py', '--cfg-options',
               'train_dataloader.dataset.source.roots=videos'], 'roots="[\'videos\']"'),
    ('test', [CONFIG, 'mamp_r81', '--cfg-options', *SMALL], 'did you mean mamp_r18')])
def test_mistakes_are_one_line_and_exit_2(tool, arguments, message, tmp_path, monkeypatch, capfd):
    with pytest.raises(SystemExit) as caught:
        run(tool, arguments[0], '--work-dir', tmp_path, *arguments[1:], monkeypatch=monkeypatch)
    assert caught.value.code == 2
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith('error: ')]
    assert len(errors) == 1
    assert message in errors[0]


def test_unwritable_output(weights, tmp_path, monkeypatch, capfd):
    (tmp_path / 'file').write_text('')
    with pytest.raises(SystemExit) as caught:
        run('test', CONFIG, weights, '--work-dir', tmp_path / 'wd', '--out', tmp_path / 'file/out',
            '--cfg-options', *SMALL, monkeypatch=monkeypatch)
    assert caught.value.code == 2
    assert 'choose another output folder' in capfd.readouterr().err


def test_a_misspelt_argument_of_a_function_is_one_line(capsys):
    @MODELS.register_module(force=True)
    def wide(width):
        return torch.nn.Linear(width, width)

    with pytest.raises(SystemExit):
        exit_with_message(lambda: MODELS.build(dict(type='wide', widht=2)))
    MODELS.module_dict.pop('wide')
    assert capsys.readouterr().err == (
        "error: wide has no argument 'widht', did you mean 'width'?\n")


def test_a_mistake_of_the_code_keeps_its_traceback():
    """Nothing that a config asked for: a part that is built calls another one wrongly."""
    @MODELS.register_module(force=True)
    class Wrong(torch.nn.Module):
        def __init__(self, width):
            super().__init__()
            torch.nn.Linear(width, width, biass=True)

    for part, expected in ((dict(type='Wrong', width=2), 'biass'), (dict(type='Wrong'), 'width')):
        with pytest.raises(TypeError, match=expected):
            exit_with_message(lambda part=part: MODELS.build(part))
    MODELS.module_dict.pop('Wrong')


def test_a_mistake_that_a_worker_found_is_one_line_too(capsys):
    """torch wraps it into the traceback of the worker."""
    told = ('Caught InputError in DataLoader worker process 0.\nOriginal Traceback (most recent '
            'call last):\n  File "x.py", line 3\nmmvos.io.errors.InputError: mask a.png is\n'
            'damaged\n')

    def main():
        raise InputError(told)
    with pytest.raises(SystemExit):
        exit_with_message(main)
    assert capsys.readouterr().err == 'error: mask a.png is damaged\n'


def stage(name, iterations, folder, load_from=None):
    """Config of a tiny training run."""
    path = folder / f'{name}.py'
    model = MAMP.example | dict(type='MAMP')
    path.write_text(f"""
_base_ = ['{ROOT}/configs/_base_/default_runtime.py']
model = {model}
load_from = {load_from and str(load_from)!r}
train_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type='ClipSampler'), dataset=dict(
        type='ClipDataset', pipeline=[dict(type='PackClip')], source=dict(
            type='SyntheticVOS', num_videos=2, length=12, size=(32, 48))))
train_cfg = dict(type='IterBasedTrainLoop', max_iters={iterations}, val_interval=10**9)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
default_hooks = dict(checkpoint=dict(interval=1), logger=dict(interval=1))
log_level = 'ERROR'
""")
    return path


@pytest.mark.parametrize('level', ['INFO', 'WARNING'])
def test_environment_and_config_are_in_the_log_alone(level, tmp_path, monkeypatch, capsys):
    config = stage('one', 1, tmp_path)
    config.write_text(config.read_text().replace("'ERROR'", repr(level)))
    run('train', config, '--work-dir', tmp_path / 'wd', monkeypatch=monkeypatch)
    shown = capsys.readouterr().out
    log, = (tmp_path / 'wd').glob('*/*.log')
    of_the_start = ('System environment', 'default_scope', 'Hooks will be executed')
    assert not any(text in shown for text in (*of_the_start, 'deprecated'))
    told = (f'log: {log}', 'Iter(train) [1/1]')
    for text in told:
        assert (text in shown) == (level == 'INFO')
    for text in (*of_the_start, *told, 'deprecated'):
        assert (text in log.read_text()) == (level == 'INFO' or text == 'deprecated')


def test_a_second_stage_resumes_itself(tmp_path, monkeypatch):
    """And not the first one, from whose end it began."""
    run('train', stage('one', 4, tmp_path), '--work-dir', tmp_path / 'w1', monkeypatch=monkeypatch)
    first = tmp_path / 'w1/iter_4.pth'
    two = stage('two', 3, tmp_path, first)
    run('train', two, '--work-dir', tmp_path / 'straight', monkeypatch=monkeypatch)
    run('train', stage('two', 2, tmp_path, first), '--work-dir', tmp_path / 'w2',
        monkeypatch=monkeypatch)
    run('train', stage('two', 3, tmp_path, first), '--work-dir', tmp_path / 'w2', '--resume',
        monkeypatch=monkeypatch)
    straight, resumed = (torch.load(tmp_path / folder / 'iter_3.pth', weights_only=False)
                         ['state_dict'] for folder in ('straight', 'w2'))
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)
