"""The CPU library under AddressSanitizer and UBSan."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
FILES = ['correlation', 'propagation', 'offset', 'inputs', 'gradients', 'resources']
# PyTorch's own form is not of interest, nor are differences, of which there are many
WANTED = 'not torch and not cuda and not gradcheck and not peak'
# The result needs 25 planes, and floats lie at multiples of 4 bytes.
CALL = """
import torch
from mmvos.ops import library
x = torch.frombuffer(bytearray(400), dtype=torch.float32, count=90, offset={start})
x, out = x.view(1, 3, 5, 6), torch.empty(1, {planes}, 5, 6)
library.call('cpu', 'mmvos_local_correlation', x, x, None, out, 2, 1)
print('still alive')
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != 'linux', reason='the sanitizers are preloaded'),
    pytest.mark.skipif(not shutil.which('g++'), reason='no g++'),
    pytest.mark.skipif(not (ROOT / 'build_ops.py').is_file(), reason='no sources')]


def runtime(name):
    """Path of a library of the compiler."""
    path = subprocess.run(['g++', f'-print-file-name={name}'], text=True, capture_output=True,
                          check=True).stdout.strip()
    if not os.path.isabs(path):
        pytest.skip(f'g++ has no {name}')
    return path


@pytest.fixture(scope='module')
def python(tmp_path_factory):
    """Function that runs Python on a library with sanitizers."""
    folder = tmp_path_factory.mktemp('sanitized')
    # libstdc++ beside it, or the first exception of torch ends the process
    preload = f'{runtime("libasan.so")} {runtime("libstdc++.so.6")}'
    subprocess.run([sys.executable, ROOT / 'build_ops.py', '--only', 'cpu', '--out', folder,
                    '--sanitize', 'address,undefined'], check=True,
                   env={**os.environ, 'CXX': 'g++'})
    library = (folder / 'libmmvos_cpu.so').read_bytes()
    assert b'__asan_report_store' in library
    assert b'__ubsan_handle' in library

    def run(*args):
        env = {**os.environ, 'MMVOS_LIBRARY_DIR': str(folder), 'LD_PRELOAD': preload,
               'ASAN_OPTIONS': 'detect_leaks=0', 'OMP_NUM_THREADS': '1'}  # Python leaks
        env.pop('MMVOS_CPU_ISA', None)
        return subprocess.run([sys.executable, *map(str, args)], env=env, cwd=ROOT, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    return run


def test_what_is_wrong_is_found(python):
    good = python('-c', CALL.format(planes=25, start=0))
    assert good.returncode == 0, good.stdout
    assert 'still alive' in good.stdout
    for call, text in ((CALL.format(planes=9, start=0), 'AddressSanitizer: heap-buffer-overflow'),
                       (CALL.format(planes=25, start=1), 'runtime error: load of misaligned addr')):
        bad = python('-c', call)
        assert bad.returncode != 0
        assert text in bad.stdout


def test_tests_of_the_ops_pass(python):
    done = python('-m', 'pytest', '-q', '-p', 'no:cacheprovider', '-k', WANTED,
                  *(FOLDER / f'test_local_{name}.py' for name in FILES),
                  f'{FOLDER}/test_ops.py::TestCompiledWarp')
    assert done.returncode == 0, done.stdout[-5000:]
    assert int(re.search(r'(\d+) passed', done.stdout)[1]) > 500  # not skipped
