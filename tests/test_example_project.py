"""The example plugin as a third party has it: installed by pip, run through the tools."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ROOT / 'projects' / 'example_project'
TINY = [
    'train_dataloader.batch_size=1', 'train_dataloader.dataset.source.num_videos=1',
    'train_dataloader.dataset.source.length=8', 'train_dataloader.dataset.source.size=(48,64)',
    'train_dataloader.dataset.pipeline.0.size=(32,32)', 'train_cfg.max_iters=3',
    'default_hooks.logger.interval=1', 'test_dataloader.dataset.num_videos=1',
    'test_dataloader.dataset.length=4', 'test_dataloader.dataset.size=(48,64)',
]

pytestmark = pytest.mark.slow


def test_method_is_short():
    source = (PROJECT / 'mmvos_example' / 'color_propagation.py').read_text()
    assert len(source.splitlines()) <= 150


def run(arguments, cwd, *paths):
    """Run Python with these folders in front of its path; its output if it succeeds."""
    env = {**os.environ, 'OMP_NUM_THREADS': '1',
           'PYTHONPATH': os.pathsep.join([*map(str, paths), str(ROOT)])}
    done = subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd, env=env, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def copy_project(folder):
    ignore = shutil.ignore_patterns('__pycache__', 'build', '*.egg-info')
    return Path(shutil.copytree(PROJECT, folder / 'example_project', ignore=ignore))


@pytest.fixture(scope='session')
def project(tmp_path_factory):
    """The project, not installed."""
    return copy_project(tmp_path_factory.mktemp('source'))


@pytest.fixture(scope='session')
def installed(tmp_path_factory):
    """Folder that pip installed the package to; nothing is downloaded."""
    # a copy of its own: building leaves an egg-info, which has the entry point
    project = copy_project(tmp_path_factory.mktemp('built'))
    target = tmp_path_factory.mktemp('installed')
    run(['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps',
         '--no-index', '--no-build-isolation', '--target', target, '.'], project)
    return target


def train_and_test(config, work, path):
    """Three iterations and one video through the tools, from a folder that is not the checkout."""
    out = run([ROOT / 'tools/train.py', config, '--work-dir', work, '--cfg-options', *TINY,
               'default_hooks.checkpoint.interval=3'], work, path)
    assert 'Iter(train) [3/3]' in out
    assert 'nan' not in out.lower().split('iter(train)', 1)[1]
    out = run([ROOT / 'tools/test.py', config, work / 'iter_3.pth', '--work-dir', work, '--out',
               work / 'masks', '--cfg-options', *TINY], work, path)
    assert 'J&F' in out
    assert len(list((work / 'masks').rglob('*.png'))) == 4


def test_by_entry_point(installed, project, tmp_path):
    assert not (installed / 'mmvos').exists()
    train_and_test(project / 'configs/color_propagation_entry_point.py', tmp_path, installed)


def test_by_custom_imports(project, tmp_path):
    # only the folder on the path: there is no entry point
    train_and_test(project / 'configs/color_propagation_custom_imports.py', tmp_path, project)


def test_by_scope(project, tmp_path):
    train_and_test(project / 'configs/color_propagation.py', tmp_path, project)


RESOLVE = """
import sys
from mmvos.apis import setup
from mmvos.registry import MODELS, TRANSFORMS
setup()
found = []
for node, name in ((MODELS, 'ColorPropagation'), (TRANSFORMS, 'BrightnessClip')):
    for prefix in ('', 'mmvos_example.'):
        try:
            found.append(node.get(prefix + name) is not None)
        except RuntimeError:
            found.append(False)
print('found', found)
"""


def test_plain_names_come_from_the_entry_point_alone(installed, project):
    assert 'found [True, True, True, True]' in run(['-c', RESOLVE], ROOT, installed)
    assert 'found [False, True, False, True]' in run(['-c', RESOLVE], ROOT, project)


def test_its_own_tests_pass(installed, project):
    # in its tests/, so that the installed package is imported, not the folder beside
    out = run(['-m', 'pytest', '-q', '-p', 'no:cacheprovider', '--import-mode=importlib'],
              project / 'tests', installed)
    assert ' passed' in out
