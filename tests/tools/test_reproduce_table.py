"""The tool that measures the results. Oracles: tools/test.py run by hand, arithmetic."""
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from mmvos.apis import find_checkpoint
from mmvos.io import encode_mask
from mmvos.io.command_line import exit_with_message

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools' / 'analysis_tools' / 'reproduce_table.py'
SPEC = importlib.util.spec_from_file_location('reproduce_table', TOOL)
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)
ROWS = [row for rows in tool.load_tables().values() for row in rows]
END = '<!-- end of results -->'


def begin(table):
    """Mark above a table."""
    return f'<!-- results: {table} -->\n'


@pytest.fixture
def davis(tmp_path):
    """Two videos of four frames in the layout of DAVIS-2016."""
    rng = np.random.default_rng(0)
    for video in ('ant', 'bee'):
        for kind in ('JPEGImages', 'Annotations'):
            (tmp_path / kind / '480p' / video).mkdir(parents=True)
        image = rng.integers(0, 255, (48, 64, 3), np.uint8)
        for t in range(4):
            mask = np.zeros((48, 64), np.uint8)
            mask[10:30, 10 + 3 * t:30 + 3 * t] = 255
            cv2.imwrite(str(tmp_path / f'JPEGImages/480p/{video}/{t:05d}.jpg'), image)
            (tmp_path / f'Annotations/480p/{video}/{t:05d}.png').write_bytes(encode_mask(mask))
    (tmp_path / 'ImageSets/2016').mkdir(parents=True)
    (tmp_path / 'ImageSets/2016/val.txt').write_text('ant\nbee\n')
    return tmp_path


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Call the command; its status, output and error output."""
    def call(*args):
        monkeypatch.setattr(sys, 'argv', ['reproduce_table.py', '--results',
                                          str(tmp_path / 'out/results.json'), *map(str, args)])
        status = 0
        try:
            exit_with_message(tool.main)
        except SystemExit as error:
            status = error.code
        return status, *capsys.readouterr()
    return call


@pytest.mark.parametrize('row', ROWS, ids=lambda row: str(row['number']))
def test_rows_name_files_and_models_that_exist(row):
    assert row.keys() <= {'number', 'method', 'config', 'weights', 'dtype', 'options', 'training'}
    assert (ROOT / row['config']).is_file()
    assert 'weights' not in row or find_checkpoint(row['weights']).is_file()


def test_every_shipped_model_has_a_row():
    shipped = {model['Name'] for path in ROOT.glob('configs/*/metafile.yml')
               for model in yaml.safe_load(path.read_text())['Models'] if model.get('Weights')}
    assert shipped == {row['weights'] for row in ROWS if 'weights' in row}


def test_no_command_stands_twice():
    commands = [shlex.join(tool.command(row)) for row in ROWS]
    assert len(set(commands)) == len(commands)


def test_lists_commands(run):
    status, out, _ = run('--list', '--davis', 'here')
    lines = out.splitlines()
    assert status == 0
    assert len(lines) == len(ROWS)
    assert lines[0] == ('python tools/test.py configs/baselines/first_mask_davis2016.py '
                        '--cfg-options test_dataloader.dataset.data_root=here    # 1')


def test_writes_named_tables_and_commands_between_marks(run, tmp_path):
    tables = tool.load_tables()
    first, last = list(tables)[0], list(tables)[-1]
    pages = [tmp_path / 'a.md', tmp_path / 'b.md']
    pages[0].write_text(f'above\n\n{begin(first)}old\n{END}\n\nbetween\n'
                        f'{begin(last)}{END}\nbelow\n')
    pages[1].write_text(f'{begin(last)}{END}')
    for _ in range(2):  # the second time finds what the first one wrote
        status, out, _ = run('--show', '--write', *pages)
        assert status == 0
        pieces = re.split('<!-- .*? -->', pages[0].read_text())
        assert [pieces[n] for n in (0, 2, 4)] == ['above\n\n', '\n\nbetween\n', '\nbelow\n']
        for name, block in ((first, pieces[1]), (last, pieces[3])):
            text, commands = block.strip().split(
                '\n\n<details>\n<summary>Commands</summary>\n\n```\n')
            assert commands.endswith('\n```\n\n</details>')
            commands = commands.removesuffix('\n\n</details>')
            table, when = text.rsplit('\n\n', 1)
            assert table.startswith(f'{name}:\n\n| row |')
            assert table in out
            assert when == 'Measured not yet.'
            assert [shlex.split(line, comments=True)[1:] for line in commands.splitlines()[:-1]
                    ] == [tool.command(row, '$DAVIS', '$RAFT') for row in tables[name]]
        assert pages[1].read_text() == f'{begin(last)[:-1]}{pieces[3]}{END}'


@pytest.mark.parametrize('text', [
    'no marks', '{one}', '{end}\n{one}', '{one}{two}{end}', '{one}{end}{two}', '{bad}{end}'])
def test_a_text_without_proper_marks_is_left_alone(run, tmp_path, text):
    one, two = map(begin, list(tool.load_tables())[:2])
    text = text.format(one=one, two=two, bad=begin('Hens'), end=END)
    path = tmp_path / 'page.md'
    path.write_text(text)
    status, out, err = run('--rows', 1, '--davis', 'nowhere', '--write', path)
    assert status == 2
    assert out == ''
    assert ('expected the name of a table in <!-- results: Hens -->; they are: With the first'
            if 'Hens' in text else 'expected lines <!-- results: NAME OF A TABLE -->') in err
    assert path.read_text() == text


def test_a_list_is_not_written(run, tmp_path):
    status, _, err = run('--list', '--write', tmp_path / 'page.md')
    assert status == 2
    assert 'leave --write out, or give --show' in err


@pytest.mark.slow
def test_a_row_is_what_the_test_prints(run, davis, tmp_path):
    status, out, _ = run('--rows', 1, '--davis', davis)
    assert status == 0
    noted, = json.loads((tmp_path / 'out/results.json').read_text()).values()
    # the first mask moves by 3 of 20 columns a frame; the last frame does not count
    ious = [(20 - 3 * t) / (20 + 3 * t) for t in (1, 2)]
    assert noted['J'] == pytest.approx(np.mean(ious), abs=1e-6)
    done = subprocess.run([sys.executable, *tool.command(ROWS[0], str(davis)), '--work-dir',
                           str(tmp_path / 'again')], cwd=ROOT, capture_output=True, text=True,
                          check=True)
    assert f"{noted['F']:.3f}" in done.stdout
    assert 50 < noted['MiB'] < 4000
    assert noted['s/frame'] < 5
    row, = (line for line in out.splitlines() if line.startswith('| 1 |'))
    assert f"| {noted['J&F']:.3f} | {noted['J']:.3f} | {noted['F']:.3f} |" in row
    # what is there is not measured again
    before = (tmp_path / 'out/results.json').stat().st_mtime_ns
    assert run('--show')[1] == out
    assert (tmp_path / 'out/results.json').stat().st_mtime_ns == before


def test_what_was_measured_with_other_weights_is_missing():
    row = next(row for row in ROWS if row.get('weights') == 'stm_r18')
    key = shlex.join(tool.command(row))
    now = {'weights': find_checkpoint('stm_r18').name}
    assert tool.measured(row, {key: now}) == now
    assert tool.measured(row, {key: {'weights': 'stm_r18_00000000.pth'}}) is None
    assert tool.measured(row, {}) is None


def test_a_failed_test_is_named(run, tmp_path):
    status, _, err = run('--rows', 2, '--davis', tmp_path / 'nowhere')
    assert status == 2
    assert 'row 2, DIS flow alone, could not be tested' in err
    log = err.split('; ')[-1].split(' says')[0]
    assert 'DAVIS-2016 is not at' in Path(log).read_text()


def test_a_row_that_does_not_exist_is_refused(run):
    status, _, err = run('--rows', 0)
    assert status == 2
    assert f'--rows should be among 1 to {len(ROWS)}, got [0]' in err


def test_texts_show_what_was_measured():
    tables = tool.load_tables()
    results = json.loads((ROOT / 'docs/results.json').read_text())
    texts = {path: path.read_text() for path in (ROOT / 'README.md', *ROOT.glob('*/**/*.md'))
             if path.relative_to(ROOT).parts[0] in ('README.md', 'configs', 'docs')}
    shown = {path: text for path, text in texts.items() if '<!-- results: ' in text}
    assert {name for text in shown.values() for name in tables
            if f'<!-- results: {name} -->' in text} == set(tables)
    for path, text in shown.items():
        assert text == tool.filled(text, tables, results), f'{path}: --show --write {path} mends it'
    assert set(results) <= {shlex.join(tool.command(row)) for row in ROWS}
