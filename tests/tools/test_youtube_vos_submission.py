"""The command as it is typed: exit status, one line, and the zip's names."""
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mmvos.io import encode_mask

TOOL = (Path(__file__).resolve().parents[2] / 'tools' / 'dataset_converters'
        / 'youtube_vos_submission.py')


@pytest.fixture
def run(tmp_path):
    (tmp_path / 'results/ab').mkdir(parents=True)
    mask = encode_mask(np.eye(9, dtype=np.uint8))
    for frame in ('00000', '00001', '00005'):
        (tmp_path / f'results/ab/{frame}.png').write_bytes(mask)
    objects = {'1': dict(frames=['00000', '00005'])}
    (tmp_path / 'meta.json').write_text(json.dumps(dict(videos=dict(ab=dict(objects=objects)))))

    def call(*args):
        done = subprocess.run([sys.executable, str(TOOL), *args], cwd=tmp_path, check=False,
                              env={**os.environ, 'PYTHONPATH': str(tmp_path)},
                              capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    return call


def test_zip_is_written_without_torch(run, tmp_path):
    (tmp_path / 'torch.py').write_text('raise SystemExit("torch was imported")')
    status, out, err = run('results', 'meta.json', 'out.zip')
    assert (status, out, err) == (0, 'out.zip: 2 masks\n', '')
    with zipfile.ZipFile(tmp_path / 'out.zip') as archive:
        assert archive.namelist() == ['Annotations/ab/00000.png', 'Annotations/ab/00005.png']


@pytest.mark.parametrize(('args', 'told'), [
    (('absent', 'meta.json', 'out.zip'), 'absent is no folder'),
    (('results', 'absent.json', 'out.zip'), 'absent.json is no file'),
    (('results', 'meta.json', 'out.tar'), 'expected a name that ends in .zip'),
    (('results', 'meta.json', 'meta.json/out.zip'), 'one of its parents is a file')])
def test_mistakes_are_one_line(run, tmp_path, args, told):
    status, out, err = run(*args)
    assert (status, out) == (2, '')
    assert err.startswith('error: ')
    assert told in err
    assert err.count('\n') == 1
