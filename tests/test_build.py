"""The libraries are built where that is possible, and an install never fails because it isn't."""
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMPILER = shutil.which('c++')
needs_compiler = pytest.mark.skipif(not COMPILER, reason='no c++ here')

ENTRY = """#include "../mmvos_ops.h"
#include <string>
int mmvos_abi() { return MMVOS_ABI + std::to_string(1).empty(); }
#if defined(MMVOS_X86) && !(MMVOS_HAS_AVX2 && MMVOS_HAS_AVX512 && MMVOS_HAS_AVX512_BF16)
extern "C" __attribute__((visibility("default"))) int mmvos_weaker() { return 1; }
#endif
"""
KERNEL = """#include <vector>
namespace MMVOS_ISA { int kernel(int n) { return std::vector<int>(n, 1)[n - 1]; } }
"""


@pytest.fixture
def build_ops(tmp_path, monkeypatch):
    """The builder, with sources that compile in a moment."""
    spec = importlib.util.spec_from_file_location('build_ops', ROOT / 'build_ops.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.CSRC = tiny_sources(tmp_path / 'csrc')
    for name in ('CXX', 'MMVOS_CUDA', 'MMVOS_CUDA_ARCH', 'CUDA_HOME'):
        monkeypatch.delenv(name, raising=False)
    return module


def tiny_sources(csrc):
    for folder in ('cpu', 'cuda'):
        (csrc / folder).mkdir(parents=True)
    shutil.copy(ROOT / 'mmvos/ops/csrc/mmvos_ops.h', csrc)
    (csrc / 'cpu/dispatch.cpp').write_text(ENTRY)
    (csrc / 'cpu/local_kernel.cpp').write_text(KERNEL)
    (csrc / 'cuda/kernel.cu').write_text(ENTRY + '__global__ void kernel() {}')
    return csrc


def exported(path):
    text = subprocess.run(['nm', '-D', '--defined-only', path], text=True, check=True,
                          capture_output=True).stdout
    return [line.split()[-1] for line in text.splitlines()]


class TestCPU:

    @needs_compiler
    @pytest.mark.skipif(not shutil.which('nm') or sys.platform != 'linux', reason='no nm here')
    def test_only_the_interface_is_exported(self, build_ops, tmp_path):
        assert build_ops.build(tmp_path, only='cpu') == {'cpu': None}
        assert exported(tmp_path / 'libmmvos_cpu.so') == ['mmvos_abi']

    @needs_compiler
    def test_an_instruction_set_that_the_compiler_does_not_know_is_left_out(
            self, build_ops, tmp_path, monkeypatch):
        if build_ops.instruction_sets(*build_ops.find_compiler(), tmp_path) == ['baseline']:
            pytest.skip('no x86-64')
        monkeypatch.setitem(build_ops.ISA_FLAGS, 'avx512_bf16', ['-mno-such-thing'])
        assert build_ops.instruction_sets(*build_ops.find_compiler(), tmp_path) == [
            'baseline', 'avx2', 'avx512']
        assert build_ops.build(tmp_path, only='cpu') == {'cpu': None}
        if shutil.which('nm'):
            assert 'mmvos_weaker' in exported(tmp_path / 'libmmvos_cpu.so')

    @needs_compiler
    def test_a_failed_build_replaces_the_library_by_its_reason(self, build_ops, tmp_path):
        library, log = tmp_path / 'libmmvos_cpu.so', tmp_path / 'libmmvos_cpu.log'
        library.write_text('of an earlier build')
        source = build_ops.CSRC / 'cpu/local_kernel.cpp'
        source.write_text('#error sorry\nint x = ;')
        error = build_ops.build(tmp_path, only='cpu')['cpu']
        assert not isinstance(error, build_ops.NotAsked)
        assert not library.exists()
        assert 'cpu/local_kernel.cpp:1:2: error: ' in log.read_text()
        assert log.read_text().count('\n') == 1
        source.write_text(KERNEL)
        build_ops.build(tmp_path, only='cpu')
        assert library.stat().st_size > 1000
        assert sorted(tmp_path.glob('libmmvos*')) == [library]

    def test_no_compiler(self, build_ops, tmp_path, monkeypatch):
        monkeypatch.setenv('PATH', '')
        error = build_ops.build(tmp_path, only='cpu')['cpu']
        assert isinstance(error, build_ops.NotAsked)
        assert 'no working C++ compiler (tried c++, g++, clang++)' in str(error)

    @pytest.mark.parametrize('cxx', ['/nonexistent', 'false', '"'])
    def test_a_compiler_that_was_named_is_the_only_one_tried(self, build_ops, monkeypatch, cxx):
        monkeypatch.setenv('CXX', cxx)
        with pytest.raises(build_ops.NotAsked, match=f'tried CXX={cxx}'):
            build_ops.find_compiler()


class TestCUDA:

    @pytest.fixture
    def no_nvcc(self, build_ops, monkeypatch):
        monkeypatch.setattr(build_ops, 'find_nvcc', lambda: None)

    @pytest.mark.usefixtures('no_nvcc')
    def test_auto_says_what_is_missing(self, build_ops, tmp_path):
        (tmp_path / 'libmmvos_cuda.so').write_text('of an earlier build')
        assert build_ops.build(tmp_path, only='cuda')['cuda']
        log = (tmp_path / 'libmmvos_cuda.log').read_text()
        assert log.startswith('MMVOS_CUDA=auto: no nvcc; install the CUDA toolkit')
        assert not (tmp_path / 'libmmvos_cuda.so').exists()

    def test_auto_needs_a_driver(self, build_ops, tmp_path, monkeypatch):
        monkeypatch.setattr(build_ops, 'find_nvcc', lambda: 'nvcc')
        monkeypatch.setattr(build_ops, 'has_driver', lambda: False)
        assert 'MMVOS_CUDA=auto: no NVIDIA driver' in str(
            build_ops.build(tmp_path, only='cuda')['cuda'])

    @pytest.mark.usefixtures('no_nvcc')
    def test_on_fails_where_it_cannot_be(self, build_ops, tmp_path, monkeypatch):
        monkeypatch.setenv('MMVOS_CUDA', 'on')
        with pytest.raises(build_ops.BuildError, match='^MMVOS_CUDA=on: no nvcc'):
            build_ops.build(tmp_path, only='cuda')

    def test_off(self, build_ops, tmp_path):
        assert 'MMVOS_CUDA=off' in str(build_ops.build(tmp_path, 'off', only='cuda')['cuda'])

    def test_other_values(self, build_ops, tmp_path, monkeypatch):
        with pytest.raises(build_ops.BuildError, match='MMVOS_CUDA=yes: auto, on or off expected'):
            build_ops.build(tmp_path, 'yes')
        monkeypatch.setenv('MMVOS_CUDA_ARCH', '90,sm_80')
        with pytest.raises(build_ops.BuildError, match='MMVOS_CUDA_ARCH: sm_80 is no arch'):
            build_ops.gencode('nvcc')

    def test_architectures(self, build_ops, monkeypatch):
        known = 'compute_80\ncompute_90\ncompute_100\n'
        monkeypatch.setattr(build_ops, 'run', lambda command: known)
        ptx = '-gencode=arch=compute_90,code=compute_90'
        assert build_ops.gencode('nvcc') == [
            '-gencode=arch=compute_80,code=sm_80', '-gencode=arch=compute_90,code=sm_90', ptx]
        monkeypatch.setenv('MMVOS_CUDA_ARCH', '90')
        assert build_ops.gencode('nvcc') == ['-gencode=arch=compute_90,code=sm_90', ptx]

    def test_nvcc_of_cuda_home_comes_first(self, build_ops, tmp_path, monkeypatch):
        for folder in ('home/bin', 'path'):
            (tmp_path / folder).mkdir(parents=True)
            (tmp_path / folder / 'nvcc').touch(mode=0o755)
        monkeypatch.setenv('PATH', str(tmp_path / 'path'))
        assert build_ops.find_nvcc() == str(tmp_path / 'path/nvcc')
        monkeypatch.setenv('CUDA_HOME', str(tmp_path / 'home'))
        assert build_ops.find_nvcc() == str(tmp_path / 'home/bin/nvcc')

    @pytest.mark.slow
    def test_our_sources_compile(self, build_ops, tmp_path):
        if not build_ops.find_nvcc():
            pytest.skip('no nvcc here')
        environment = {**os.environ, 'MMVOS_CUDA': 'on', 'MMVOS_CUDA_ARCH': '90'}
        subprocess.run([sys.executable, ROOT / 'build_ops.py', '--only', 'cuda', '--out', tmp_path],
                       check=True, env=environment)
        names = exported(tmp_path / 'libmmvos_cuda.so')
        assert 'mmvos_local_propagation_backward' in names
        assert all(name.startswith('mmvos_') for name in names)


@pytest.mark.slow
class TestInstall:

    @pytest.fixture
    def tree(self, tmp_path):
        """A checkout whose sources compile in a moment."""
        tree = tmp_path / 'tree'
        skipped = shutil.ignore_patterns('__pycache__', '.mim', 'lib', 'csrc')
        shutil.copytree(ROOT / 'mmvos', tree / 'mmvos', ignore=skipped)
        shutil.copytree(ROOT / 'requirements', tree / 'requirements')
        for name in ('setup.py', 'build_ops.py', 'pyproject.toml', 'MANIFEST.in', 'README.md',
                     'LICENSE'):
            shutil.copy(ROOT / name, tree)
        tiny_sources(tree / 'mmvos/ops/csrc')
        return tree

    def pip(self, *args, **environment):
        if args[0] == 'install':  # else pip would take the mmvos away that runs this test
            args += ('--ignore-installed',)
        return subprocess.run(
            [sys.executable, '-m', 'pip', *map(str, args), '-q', '--no-deps',
             '--no-build-isolation'], text=True, capture_output=True,
            env={**os.environ, 'MMVOS_CUDA': 'off', **environment})

    def wheel(self, source, out, **environment):
        done = self.pip('wheel', source, '-w', out, **environment)
        assert done.returncode == 0, done.stderr
        path, = out.glob('*.whl')
        names = zipfile.ZipFile(path).namelist()
        return path.name, [name for name in names if name.startswith('mmvos/ops/lib/')], names

    @needs_compiler
    def test_wheel_with_a_library_is_for_every_python_on_one_platform(self, tree, tmp_path):
        name, libraries, names = self.wheel(tree, tmp_path / 'wheel')
        assert '-py3-none-' in name
        assert not name.endswith('-any.whl')
        assert 'mmvos/ops/lib/libmmvos_cpu.so' in libraries
        assert not any('purelib' in name or 'csrc' in name for name in names)

    def test_wheel_without_a_library_is_for_every_platform(self, tree, tmp_path):
        # what an earlier build left behind is not shipped
        stale = tree / 'build/lib/mmvos/ops/lib/libmmvos_cpu.so'
        stale.parent.mkdir(parents=True)
        stale.touch()
        name, libraries, _ = self.wheel(tree, tmp_path / 'wheel', CXX='/nonexistent')
        assert name.endswith('-py3-none-any.whl')
        assert sorted(libraries) == ['mmvos/ops/lib/libmmvos_cpu.log',
                                     'mmvos/ops/lib/libmmvos_cuda.log']

    @needs_compiler
    def test_source_distribution_compiles(self, tree, tmp_path):
        subprocess.run([sys.executable, 'setup.py', '-q', 'sdist', '-d', tmp_path / 'sdist'],
                       cwd=tree, check=True)
        archive, = (tmp_path / 'sdist').iterdir()
        _, libraries, _ = self.wheel(archive, tmp_path / 'wheel')
        assert 'mmvos/ops/lib/libmmvos_cpu.so' in libraries

    @needs_compiler
    def test_editable_install_builds_in_the_checkout(self, tree, tmp_path):
        lib = tree / 'mmvos/ops/lib'
        for environment, kind in (({}, 'so'), ({'CXX': '/nonexistent'}, 'log')):
            done = self.pip('install', '--prefix', tmp_path / 'prefix', '-e', tree, **environment)
            assert done.returncode == 0, done.stderr
            assert [path.name for path in lib.glob('*cpu*')] == [f'libmmvos_cpu.{kind}']

    @pytest.mark.parametrize('editable', [[], ['-e']])
    def test_cuda_on_fails_with_its_reason(self, tree, tmp_path, editable):
        (tree / 'mmvos/ops/csrc/cuda/kernel.cu').unlink()
        done = self.pip('install', '--prefix', tmp_path / 'prefix', *editable, tree,
                        MMVOS_CUDA='on', CXX='/nonexistent')
        assert done.returncode != 0
        assert 'error: MMVOS_CUDA=on: no ' in done.stderr
