"""The documentation: every text has its page, every link leads somewhere, Sphinx is content."""
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location('docs_build', ROOT / 'docs' / 'build.py')
build = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(build)
TEXTS = sorted(path for where in ('.', 'docs', 'configs/*', 'checkpoints', 'projects/*')
               for path in ROOT.glob(f'{where}/*.md'))


@pytest.mark.parametrize('path', TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(path):
    for _, label, target, _ in build.LINK.findall(path.read_text()):
        if target and '://' not in target:
            assert (path.parent / target).exists(), f'[{label}]({target})'


def test_every_method_has_a_page_in_the_contents():
    listed = set(re.findall(r'^methods/(\w+)$', (ROOT / 'docs/index.md').read_text(), re.MULTILINE))
    assert listed == {path.parent.name for path in ROOT.glob('configs/*/README.md')}


def test_zoo_lists_every_model():
    zoo = build.zoo()
    for path in ROOT.glob('configs/*/metafile.yml'):
        for model in yaml.safe_load(path.read_text())['Models']:
            assert f"| `{model['Name']}` | " in zoo


def test_links_become_pages_pictures_and_names(tmp_path):
    text = ('[card](../../checkpoints/stm_r18.md) [m](../../docs/evaluation.md#speed) '
            '[code](../../mmvos/compat.py) [web](https://a.org/b.md) '
            '![curve](../../checkpoints/stm_r18_loss.png)\n```\n[x](y.md)\n```\n')
    found = build.linked(text, ROOT / 'configs/stm', tmp_path / 'files')
    assert found == ('[card](/models/stm_r18.md) [m](/evaluation.md#speed) `code` '
                     '[web](https://a.org/b.md) ![curve](/files/checkpoints/stm_r18_loss.png)\n'
                     '```\n[x](y.md)\n```\n')
    picture = tmp_path / 'files/checkpoints/stm_r18_loss.png'
    assert picture.read_bytes() == (ROOT / 'checkpoints/stm_r18_loss.png').read_bytes()


def test_a_section_that_is_gone_is_named():
    with pytest.raises(ValueError, match='no section "## Nothing"'):
        build.readme_section('Nothing')


def test_pages_of_methods_show_their_rows(monkeypatch, tmp_path):
    tool = build.results_tool()
    row = next(row for rows in tool.load_tables().values() for row in rows
               if row['config'] == 'configs/baselines/dis_davis2016.py')
    scores = {'J&F': 0.463, 'J': 0.479, 'F': 0.446, 's/frame': 0.04, 'MiB': 512, 'weights': '',
              'day': '2026-11-22', 'machine': '2 x CPU'}
    path = tmp_path / 'results.json'
    path.write_text(json.dumps({shlex.join(tool.command(row)): scores}))
    monkeypatch.setattr(build, 'RESULTS', path)
    text = build.sources()['methods/baselines'][1]
    assert f"| {row['number']} | DIS flow alone | 0.463 | 0.479 | 0.446 | 0.04 | 512 |" in text
    assert 'Measured 2026-11-22 on 2 x CPU.' in text
    assert 'Numbers' not in build.sources()['methods/mamp'][1]
    assert '`configs/baselines/dis_davis2016.py` | 0.463 | 0.04 | none needed' in build.zoo()
    assert '`configs/mamp/mamp_r18_davis2016.py` |  |  | [card]' in build.zoo()


@pytest.mark.slow
def test_site_builds_and_a_warning_stops_it(tmp_path):
    command = [sys.executable, str(ROOT / 'docs/build.py'), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = {path.relative_to(tmp_path / 'html').as_posix().removesuffix('.html')
             for path in (tmp_path / 'html').rglob('*.html')}
    assert set(build.sources()) <= pages
    # the same pages with one that leads nowhere
    (tmp_path / 'source/limits.md').write_text('# Limits\n\n[gone](/no_such_page.md)\n')
    conf = str(ROOT / 'docs')
    broken = subprocess.run(
        [sys.executable, '-m', 'sphinx', '-W', '-q', '-c', conf, str(tmp_path / 'source'),
         str(tmp_path / 'broken')], capture_output=True, text=True, check=False)
    assert broken.returncode != 0
    assert 'no_such_page' in broken.stderr


@pytest.mark.slow
def test_drawing_shows_the_calls_of_today(tmp_path):
    command = [sys.executable, str(ROOT / 'docs/frame_path.py'), str(tmp_path / 'path.svg')]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    committed = ROOT / 'docs/images/frame_path.svg'
    assert (tmp_path / 'path.svg').read_text() == committed.read_text()


def test_measure_counts(tmp_path):
    spec = importlib.util.spec_from_file_location('measure', ROOT / 'docs' / 'measure.py')
    measure = importlib.util.module_from_spec(spec)
    sys.modules['measure'] = measure  # its dataclass looks there
    spec.loader.exec_module(measure)
    (tmp_path / 'a.py').write_text(
        '"""One.\n\nTwo.\n"""\nimport os  # why\n\n\nclass A:\n    """A."""\n\n'
        '    def __init__(self, a, *, b=1, **kwargs):\n        self.a = """x\n        y"""\n')
    found = measure.sizes([tmp_path])
    assert found.files == [(13, 'a.py')]
    assert (found.code, found.comments, found.docstrings) == (5, 1, 5)
    assert found.functions == [3]
    assert found.arguments == [(2, 'A')]
