"""The command as it is typed. Oracles: reports of the package, numbers by hand."""
import csv
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmvos.evaluation import build_protocol, evaluate_pairs, find_ground_truth, pair_folders
from mmvos.evaluation.attributes import attributes, attributes_table
from mmvos.evaluation.protocols import PROTOCOLS, find_protocol
from mmvos.io import encode_mask
from mmvos.io.command_line import exit_with_message

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'analysis_tools' / 'evaluate.py'


def bars(length=8, cut=0):
    """(T, H, W): two bars, each without `cut` of its 40 columns, so J is 1 - cut / 40."""
    maps = np.zeros((length, 30, 60), np.uint8)
    maps[:, 2:12, 10:50 - cut], maps[:, 16:26, 10:50 - cut] = 1, 2
    return maps


def put(folder, maps):
    folder.mkdir(parents=True, exist_ok=True)
    for t, labels in enumerate(maps):
        (folder / f'{t:05d}.png').write_bytes(encode_mask(labels))


@pytest.fixture
def root(tmp_path):
    """Ground truth of three videos, results `a` and, better on the first, `b`."""
    for name, cut in (('ant', 20), ('bee', 4), ('car', 8)):
        put(tmp_path / 'truth' / name, bars())
        put(tmp_path / 'a' / name, bars(cut=cut))
        put(tmp_path / 'b' / name, bars(cut=10 if name == 'ant' else cut))
    return tmp_path


@pytest.fixture
def run(root, monkeypatch, capsys):
    """Call the command in `root`, without processes; its status, output and error output."""
    spec = importlib.util.spec_from_file_location('evaluate_tool', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.chdir(root)

    def call(*args, protocol='davis2017'):
        chosen = ['--protocol', protocol] if protocol else []
        monkeypatch.setattr(sys, 'argv', ['evaluate.py', '--workers', '0', *args, *chosen])
        status = 0
        try:
            exit_with_message(tool.main)
        except SystemExit as error:
            status = error.code
        return status, *capsys.readouterr()

    return call


def shell(cwd, *args, **environment):
    done = subprocess.run([sys.executable, str(TOOL), *args], cwd=cwd, check=False,
                          capture_output=True, text=True, env={**os.environ, **environment})
    return done.returncode, done.stdout, done.stderr


def expect(results='a', protocol='davis2017', **options):
    rule = build_protocol(protocol)
    truth = find_ground_truth('truth', find_protocol(protocol))
    return evaluate_pairs(pair_folders(results, truth, rule, **options), rule)


def test_prints_the_report(run):
    status, out, err = run('a', 'truth')
    found = expect()
    assert (status, err) == (0, '')
    assert out == f'a\n{found.table()}\n\n{attributes_table(attributes(found.videos))}\n'
    row = next(line for line in out.splitlines() if line.startswith('| all'))
    assert [cell.strip() for cell in row.split('|')[1:5]] == [
        'all', '6', f'{found.summary["J&F"]:.3f}', f'{(0.5 + 0.9 + 0.8) / 3:.3f}']


def test_help_and_scoring_load_neither_torch_nor_mmengine(root):
    blocked = root / 'blocked'
    blocked.mkdir()
    for name in ('torch', 'mmengine'):
        (blocked / f'{name}.py').write_text(f'raise SystemExit("{name} was imported")')
    status, out, err = shell(root, '--help', PYTHONPATH=str(blocked))
    assert (status, err) == (0, '')
    assert not [name for name, cls in PROTOCOLS.items() if f'{name:23} {cls.counts}' not in out]
    status, out, err = shell(root, 'a', 'truth', '--protocol', 'davis2017-unsupervised',
                             '--workers', '0', PYTHONPATH=str(blocked))
    assert (status, err) == (0, '')
    assert '| all' in out


@pytest.mark.slow
def test_processes_change_nothing(root):
    runs = [shell(root, 'a', 'truth', '--protocol', 'davis2017', '--workers', count, '--json',
                  f'{count}.json') for count in ('0', '1', '4')]
    assert runs == [runs[0]] * 3
    assert runs[0][0] == 0
    assert len({(root / f'{count}.json').read_text() for count in (0, 1, 4)}) == 1


def test_mistake_as_the_shell_sees_it(root):
    (root / 'a/bee/00003.png').write_bytes(encode_mask(bars()[0])[:-40])
    status, out, err = shell(root, 'a', 'truth', '--protocol', 'davis2017', '--workers', '0')
    assert (status, out) == (2, '')
    assert err.startswith('error: mask a/bee/00003.png cannot be read')
    assert err.count('\n') == 1


def white(maps):
    return (maps > 0) * np.uint8(255)


MISTAKES = {
    'results': (lambda root: None, ('none', 'truth'), 'results none is not a folder; check'),
    'truth': (lambda root: None, ('a', 'none'), 'ground truth none is not a folder; check'),
    'file': (lambda root: None, ('a/ant/00000.png', 'truth'), '00000.png is not a folder; check'),
    'empty results': (lambda root: (root / 'none').mkdir(), ('none', 'truth'),
                      'results none holds no PNG; expected none/'),
    'empty truth': (lambda root: (root / 'none').mkdir(), ('a', 'none'),
                    'ground truth none holds no PNG; expected <video>/<frame>.png'),
    'other size': (lambda root: put(root / 'a/bee', bars()[:, 1:]), ('a', 'truth'),
                   'a/bee/00001.png is 60x29 (width x height), but mask truth/bee/00001.png is'),
    'extra ids': (lambda root: put(root / 'a/bee', bars() * 3), ('a', 'truth'),
                  'a/bee/00001.png has ids [3, 6], its video\'s ground truth has [1, 2]; predict'),
    'white': (lambda root: put(root / 'a/bee', white(bars())), ('a', 'truth'),
              'a/bee/00001.png has the value 255, object ids 1, 2, ... are expected'),
    'white truth': (lambda root: put(root / 'truth/bee', white(bars())), ('a', 'truth'),
                    "truth/bee/00000.png: the ground truth of video 'bee' shows no object"),
    'no objects': (lambda root: put(root / 'truth/bee', bars() * 0), ('a', 'truth'),
                   "truth/bee/00000.png: the ground truth of video 'bee' shows no object"),
    'missing frame': (lambda root: (root / 'a/bee/00006.png').unlink(), ('a', 'truth'),
                      'a/bee/00006.png is missing (1 of 6 frames of this video that count are); '),
    'missing video': (lambda root: (root / 'a/bee').rename(root / 'bee'), ('a', 'truth'),
                      "results of video 'bee' are missing: expected a/bee/*.png; predict it"),
    'unknown name': (lambda root: (root / 'list').write_text('wasp'), ('a', 'truth', '--list',
                     'list'), 'truth/wasp holds no PNG, but its list of videos or meta'),
    'no list': (lambda root: None, ('a', 'truth', '--list', 'list'),
                'list of videos list cannot be read: No such file'),
    'no meta': (lambda root: None, ('a', 'truth', '--meta', 'x.json'),
                'protocol davis2017 takes no --meta; leave it out'),
    'no frames': (lambda root: None, ('a', 'truth', '--html', 'x.html', '--frames', 'none'),
                  '--frames none is not a folder; check'),
    'frames without page': (lambda root: None, ('a', 'truth', '--frames', 'truth'),
                            '--frames is for the page: add --html FILE, or leave it out'),
    'other frames': (lambda root: (root / 'none').mkdir(), ('a', 'truth', '--html', 'x.html',
                     '--frames', 'none'), '--frames none holds no folder ant; expected <video>/'),
    'results left out': (lambda root: None, ('truth',), 'expected RESULTS GROUND_TRUTH, or'),
    'both': (lambda root: None, ('a', 'truth', '--compare', 'a', 'b'), 'expected RESULTS GROUND_'),
    'workers': (lambda root: None, ('a', 'truth', '--workers', '-1'), 'correct --workers'),
}


@pytest.mark.parametrize('name', MISTAKES)
def test_mistakes_are_one_line(root, run, name):
    change, args, told = MISTAKES[name]
    change(root)
    status, out, err = run(*args)
    assert (status, out) == (2, '')
    assert told in err
    assert err.startswith('error: ')
    assert err.count('\n') == 1


def test_a_pipe_that_nobody_reads_to_its_end(root):
    command = (f'{sys.executable} {TOOL} a truth --protocol davis2017 --workers 0 --json out.json'
               ' | true; exit ${PIPESTATUS[0]}')
    done = subprocess.run(['bash', '-c', command], cwd=root, check=False, capture_output=True,
                          text=True)
    assert (done.returncode, done.stderr) == (141, '')
    assert json.loads((root / 'out.json').read_text())['protocol'] == 'davis2017'


def test_colour_images_are_refused(root, run):
    from PIL import Image
    Image.fromarray(np.stack([bars()[0] * 90] * 3, -1)).save(root / 'a/bee/00004.png')
    status, out, err = run('a', 'truth')
    assert (status, out, err.count('\n')) == (2, '', 1)
    assert 'mask a/bee/00004.png is a colour image (RGB) with the colours #' in err
    assert 'check_dataset.py --fix' in err


def test_unknown_protocol(run):
    status, out, err = run('a', 'truth', protocol='davis-2017')
    assert (status, out) == (2, '')
    assert "protocol 'davis-2017' is unknown; did you mean davis2017? there are davis2016, " in err
    status, out, err = run('a', 'truth', protocol=None)
    assert (status, out) == (2, '')
    assert '--protocol' in err


def test_other_videos_and_files_in_the_results_are_left_alone(root, run):
    before = run('a', 'truth')
    put(root / 'a/zebra', bars())
    (root / 'a/notes.txt').write_text('the last run')
    (root / 'a/ant/per-sequence_results.csv').write_text('J,F\n1,1\n')
    assert run('a', 'truth') == before


def test_list_of_videos(root, run):
    (root / 'list.txt').write_text('car\nant\n')
    out = run('a', 'truth', '--list', 'list.txt')[1]
    rows = [line.split('|')[1].strip() for line in out.splitlines() if line.startswith('| ')]
    assert rows[:4] == ['video', 'ant', 'car', 'all']


def test_allow_missing_says_how_many(root, run):
    for t in (0, 2, 3):
        (root / f'a/bee/{t:05d}.png').unlink()
    for path in (root / 'a/car').iterdir():
        path.unlink()
    status, out, _ = run('a', 'truth', '--allow-missing', '--json', 'out.json')
    assert status == 0
    assert 'note: frames without a prediction, scored as empty: 8' in out
    videos = json.loads((root / 'out.json').read_text())['videos']
    found = {video['name']: video for video in videos}
    assert found['bee']['missing'] == ['00002', '00003']
    assert len(found['car']['missing']) == 6
    assert found['car']['summary']['J'] == 0
    assert found['bee']['summary']['J'] == pytest.approx(4 / 6 * 0.9, abs=1e-12)


def rows_of(path):
    with open(path, newline='') as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize('protocol', ['davis2017', 'youtube-objects', 'mamp-inloop', 'lvos'])
def test_files_hold_what_the_report_holds(root, run, protocol):
    for folder in ('truth', 'a'):
        for name in ('ant', 'bee', 'car'):
            put(root / folder / f'{name}_1', bars(21, 0 if folder == 'truth' else 6))
            for path in (root / folder / name).iterdir():
                path.unlink()
            (root / folder / name).rmdir()
    assert run('a', 'truth', '--json', 'new/out.json', '--csv', 'tables', protocol=protocol)[0] == 0
    found = expect(protocol=protocol)
    assert json.loads((root / 'new/out.json').read_text()) == found.as_dict()
    summary, = rows_of(root / 'tables/summary.csv')
    assert summary == {key: str(value) for key, value in found.summary.items()}
    videos = rows_of(root / 'tables/videos.csv')
    assert [video.pop('video') for video in videos] == list(found.rows)
    assert [int(video.pop('objects')) for video in videos] == [len(video.objects)
                                                               for video in found.videos]
    for video, row in zip(videos, found.rows.values(), strict=True):
        assert video == {key: str(value) for key, value in row.items()}
    objects, frames = (rows_of(root / f'tables/{name}.csv') for name in ('objects', 'frames'))
    items = [(video, item) for video in found.videos for item in video.objects]
    assert [(row['video'], int(row['object'])) for row in objects] == [
        (video.name, item.label) for video, item in items]
    assert [float(row['J']) for row in objects] == [item.j.mean() for _, item in items]
    assert [(row['video'], int(row['object']), row['frame'], float(row['J']), float(row['F']),
             row['T']) for row in frames] == [
        (video.name, item.label, video.frames[p], j, f, '') for video, item in items
        for p, j, f in zip(item.frames, item.j, item.f, strict=True)]


def test_a_mistake_leaves_files_as_they_were(root, run):
    run('a', 'truth', '--json', 'out.json')
    before = (root / 'out.json').read_bytes()
    (root / 'a/bee/00003.png').unlink()
    assert run('a', 'truth', '--json', 'out.json', '--csv', 'tables')[0] == 2
    assert (root / 'out.json').read_bytes() == before
    assert not (root / 'tables').exists()


def test_nothing_is_reused_after_the_results_changed(root, run):
    args = 'a', 'truth', '--json', 'out.json', '--csv', 'tables'
    first = run(*args)
    put(root / 'a/ant', bars())
    second = run(*args)
    assert first != second
    assert json.loads((root / 'out.json').read_text())['videos'][0]['summary']['J'] == 1
    assert float(rows_of(root / 'tables/videos.csv')[0]['J']) == 1
    assert sorted(path.name for path in (root / 'tables').iterdir()) == [
        'frames.csv', 'objects.csv', 'summary.csv', 'videos.csv']
    put(root / 'a/ant', bars(cut=20))
    assert run(*args) == first


def test_stability_and_official_compat(root, run):
    plain, stable, compat = (run('a', 'truth', *more)[1] for more in
                             ((), ('--stability',), ('--official-compat',)))
    assert '|     T |' in stable
    assert '|     T |' not in plain
    note = 'note: objects are 1 to the largest id of the first frame, as for the official tool\n'
    assert compat.replace(note, '') == plain  # 8 frames, ids 1 and 2
    for folder in ('a', 'truth'):
        maps = bars()
        put(root / folder / 'bee', maps + (maps == 2))
    assert '(--official-compat)' in run('a', 'truth')[1]
    objects = [len(json.loads((root / 'out.json').read_text())['videos'][1]['objects'])
               for more in ([], ['--official-compat'])
               if run('a', 'truth', '--json', 'out.json', *more)[0] == 0]
    assert objects == [2, 3]  # 1 to the largest


def test_seen_and_unseen_categories(root, run):
    every = [f'{t:05d}' for t in range(8)]
    meta = {name: {'objects': {str(label): {'category': f'{name}{label}', 'frames': every}
                               for label in (1, 2)}} for name in ('ant', 'bee', 'car')}
    (root / 'meta.json').write_text(json.dumps({'videos': meta}))
    args = 'a', 'truth', '--meta', 'meta.json', '--json', 'out.json', '--unseen', 'ant1', 'car2'
    status, _, _ = run(*args, protocol='youtube-vos')
    summary = json.loads((root / 'out.json').read_text())['summary']
    assert status == 0
    assert summary['J-unseen'] == pytest.approx((0.5 + 0.8) / 2, abs=1e-12)
    assert summary['J-seen'] == pytest.approx((0.5 + 0.9 + 0.9 + 0.8) / 4, abs=1e-12)
    status, _, err = run(*args, 'wasp', protocol='youtube-vos')
    assert (status, err.count('\n')) == (2, 1)
    assert "['wasp']" in err


def test_compare(root, run):
    status, out, err = run('--compare', 'a', 'b', 'truth')
    assert (status, err) == (0, '')
    tables = [expect(name).table() for name in ('a', 'b')]
    assert all(table in out for table in tables)
    assert out.index(tables[0]) < out.index(tables[1])
    assert 'A is a, B is b' in out
    difference = expect('b').summary['J&F'] - expect('a').summary['J&F']
    assert f'{difference:+.3f}' in out
    assert run('truth', '--compare', 'a', 'b') == (status, out, err)


@pytest.mark.parametrize(('args', 'told'), [
    (('--compare', 'a', 'none', 'truth'), 'results none is not a folder'),
    (('--compare', 'a', 'b', 'truth', '--csv', 'out'), 'leave out --compare'),
    (('a', 'truth', '--compare', 'a'), '--compare')])
def test_compare_with_mistakes(run, args, told):
    status, _, err = run(*args)
    assert status == 2
    assert told in err.splitlines()[-1]


def test_page_is_written(root, run):
    assert run('a', 'truth', '--html', 'out/page.html')[0] == 0
    text = (root / 'out/page.html').read_text()
    assert '</html>' in text
    assert all(name in text for name in ('ant', 'bee', 'car'))


def test_output_that_cannot_be_written(root, run):
    (root / 'taken').write_text('')
    for option, path in (('--json', 'taken/out.json'), ('--csv', 'taken'),
                         ('--html', 'taken/page.html')):
        status, _, err = run('a', 'truth', option, path)
        assert (status, err.count('\n')) == (2, 1)
        assert 'taken' in err
        assert 'choose another' in err
