"""Libraries that are missing, broken or too old are one line, never an exception at import."""
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from mmvos.ops import __main__ as self_check
from mmvos.ops import library

# Writes what it was called with into the last tensor; radius 99 is an error.
SOURCE = r"""
#include <stdint.h>
struct T { float* data; int64_t size[5], stride[5]; int32_t ndim, type; };
struct C { int32_t device, isa; void* stream; };
extern "C" {
int mmvos_abi() { return ABI; }
const char* mmvos_error() { return "driver is too old"; }
const char* mmvos_instruction_set(int isa) { return isa == 7 ? "" : "best"; }
#ifndef NO_OPS
int mmvos_local_correlation(T* query, T*, T* coords, T* out, int32_t radius, int32_t dilation,
                            C* c) {
  if (radius == FAILS) return 1;
  const float found[] = {float(radius), float(dilation), float(query->stride[3]),
                         float(query->ndim), float(coords == 0), float(c->isa)};
  for (int i = 0; i < 6; ++i) out->data[i] = found[i];
  return 0;
}
int mmvos_local_propagation(T*, T*, T*, T*, T* out, T*, int32_t, int32_t, double scale, int32_t,
                            C*) {
  *out->data = float(scale);
  return 0;
}
int mmvos_local_correlation_backward() { return 1; }
int mmvos_local_propagation_backward() { return 1; }
int mmvos_warp() { return 1; }
#endif
}
"""


@pytest.fixture(scope='module')
def compile_(tmp_path_factory):
    compiler = shutil.which('c++')
    if not compiler:
        pytest.skip('no c++ here')

    def run(folder, name='cpu', abi=library.ABI, **defines):
        defines = {'ABI': abi, 'FAILS': 99, **defines}
        path = folder / f'libmmvos_{name}.so'
        subprocess.run([compiler, '-shared', '-fPIC', *(f'-D{k}={v}' for k, v in defines.items()),
                        '-o', str(path), '-x', 'c++', '-'], input=SOURCE, text=True, check=True)
        return path

    return run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv('MMVOS_LIBRARY_DIR', str(tmp_path))
    monkeypatch.delenv('MMVOS_CPU_ISA', raising=False)
    return tmp_path


def reason(name='cpu'):
    text = library.why_not(name)
    assert text
    assert '\n' not in text
    with pytest.raises(library.LibraryError) as error:
        library.call(name, 'mmvos_local_correlation', torch.zeros(1, device='cpu'))
    assert name != 'cpu' or str(error.value) == text
    return text


class TestWhyNot:

    def test_absent(self, folder):
        assert reason() == f'{folder / "libmmvos_cpu.so"} does not exist'
        assert 'libmmvos_cuda.so does not exist' in reason('cuda')

    def test_log_of_the_build_is_passed_on_in_one_line(self, folder):
        (folder / 'libmmvos_cpu.log').write_text('no C++ compiler\n(tried c++)\n')
        assert reason() == 'not built: no C++ compiler (tried c++)'

    @pytest.mark.parametrize('data', [b'', b'\x7fELF', b'not a library\n' * 9, b'\0' * 4096])
    def test_no_library_at_all(self, folder, data):
        (folder / 'libmmvos_cpu.so').write_bytes(data)
        assert 'libmmvos_cpu.so does not load: ' in reason()

    @pytest.mark.parametrize('share', [0.1, 0.5, 0.99])
    def test_cut_short(self, folder, compile_, share):
        path = compile_(folder)
        os.truncate(path, int(path.stat().st_size * share))
        assert 'libmmvos_cpu.so is cut short' in reason()

    @pytest.mark.skipif(sys.platform != 'linux', reason='ELF')
    def test_other_machine(self, folder, compile_):
        path = compile_(folder)
        data = bytearray(path.read_bytes())
        other, name = (62, 'x86_64') if data[18] == 183 else (183, 'aarch64')
        data[18] = other
        path.write_bytes(data)
        assert f'libmmvos_cpu.so is for {name}, this machine is ' in reason()

    def test_other_interface(self, folder, compile_):
        compile_(folder, abi=library.ABI + 1)
        assert (f'has interface {library.ABI + 1}, this mmvos needs {library.ABI}; '
                'install mmvos again') in reason()

    def test_function_missing(self, folder, compile_):
        compile_(folder, NO_OPS=1)
        assert 'does not load: ' in reason()
        assert 'mmvos_local_correlation' in library.why_not('cpu')

    def test_none_if_it_loads(self, folder, compile_):
        compile_(folder)
        assert library.why_not('cpu') is None


class TestGPU:

    @pytest.fixture
    def gpu(self, monkeypatch):
        """A torch with CUDA whose GPU memory is ordinary memory."""
        memory, stream = torch.zeros(64), SimpleNamespace(cuda_stream=0)
        for name, value in {'init': lambda: None, 'current_device': lambda: 0,
                            'caching_allocator_alloc': lambda size: memory.data_ptr(),
                            'caching_allocator_delete': lambda pointer: None,
                            'current_stream': lambda index: stream}.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(torch.version, 'cuda', '13.0')
        return monkeypatch

    def test_torch_without_cuda(self, folder, compile_, monkeypatch):
        compile_(folder, 'cuda')
        monkeypatch.setattr(torch.version, 'cuda', None)
        assert reason('cuda') == f'torch {torch.__version__} is built without CUDA'

    def test_driver_too_old_for_torch(self, folder, compile_, gpu):
        def init():
            raise RuntimeError('The driver is too old\n(found version 11040)')

        compile_(folder, 'cuda')
        gpu.setattr(torch.cuda, 'init', init)
        assert reason('cuda') == 'The driver is too old (found version 11040)'

    def test_driver_too_old_for_the_library(self, folder, compile_, gpu):
        compile_(folder, 'cuda', FAILS=0)
        assert reason('cuda') == 'mmvos_local_correlation: driver is too old'

    def test_none_if_one_cell_can_be_computed(self, folder, compile_, gpu):
        compile_(folder, 'cuda')
        assert library.why_not('cuda') is None


class TestCall:

    def test_arguments_arrive(self, folder, compile_, monkeypatch):
        compile_(folder)
        monkeypatch.setenv('MMVOS_CPU_ISA', '2')
        x, out = torch.rand(2, 3, 4, 10)[..., ::2], torch.zeros(6)
        library.call('cpu', 'mmvos_local_correlation', x, x, None, out, 12, 3)
        assert out.tolist() == [12, 3, 2, 4, 1, 2]

    def test_an_integer_becomes_a_double(self, folder, compile_):
        compile_(folder)
        x, out = torch.rand(1), torch.zeros(1)
        library.call('cpu', 'mmvos_local_propagation', x, x, x, None, out, x, 1, 0, 14, 0)
        assert out == 14

    def test_error_of_the_library(self, folder, compile_):
        compile_(folder)
        x = torch.rand(1)
        with pytest.raises(library.LibraryError, match='^mmvos_local_correlation: driver is too'):
            library.call('cpu', 'mmvos_local_correlation', x, x, None, x, 99, 1)

    def test_what_would_crash_is_refused(self, folder, compile_):
        compile_(folder)
        x = torch.rand(1)
        with pytest.raises(library.LibraryError, match='one cpu device expected, got cpu, meta'):
            library.call('cpu', 'mmvos_local_correlation', x, x.to('meta'), None, x, 1, 1)
        with pytest.raises(library.LibraryError, match=r'torch\.int64 is none of torch\.float32'):
            library.call('cpu', 'mmvos_local_correlation', x.long(), x, None, x, 1, 1)
        with pytest.raises(TypeError):
            library.call('cpu', 'mmvos_local_correlation', x, x, None, x, 1)

    def test_instruction_set(self, folder, compile_, monkeypatch):
        compile_(folder)
        assert library.instruction_set() == 'best'
        for isa, text in {'7': 'MMVOS_CPU_ISA=7 is not compiled or does not run on this CPU',
                          'avx': 'MMVOS_CPU_ISA=avx: a number expected'}.items():
            monkeypatch.setenv('MMVOS_CPU_ISA', isa)
            with pytest.raises(library.LibraryError, match=text):
                library.instruction_set()


class TestSelfCheck:

    def test_from_a_shell_without_usable_libraries(self, folder):
        (folder / 'libmmvos_cuda.so').write_text('broken')
        done = subprocess.run([sys.executable, '-m', 'mmvos.ops'], text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert 'libmmvos_cpu.so does not exist' in done.stdout
        assert 'libmmvos_cuda.so does not load' in done.stdout
        assert 'ok' in done.stdout

    def test_of_this_installation(self, capsys, monkeypatch):
        monkeypatch.delenv('MMVOS_LIBRARY_DIR', raising=False)
        assert self_check.main() == 0
        out = capsys.readouterr().out
        assert 'FAILED' not in out
        assert all(f'| {name} ' in out for name in ('torch', 'cpu', 'cuda', 'mmcv'))

    @pytest.mark.parametrize('fails', [99, 3])
    def test_a_wrong_library_is_found_out(self, folder, compile_, capsys, fails):
        compile_(folder, FAILS=fails)
        assert self_check.main() == 1
        assert 'FAILED' in capsys.readouterr().out
