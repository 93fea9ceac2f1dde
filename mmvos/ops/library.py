"""The compiled libraries: found lazily, loaded with ctypes, never needed to import mmvos."""
from __future__ import annotations

import ctypes
import os
import platform
import struct
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

ABI = 2  # MMVOS_ABI of csrc/mmvos_ops.h
TYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}
FOLDER = Path(__file__).parent / 'lib'  # MMVOS_LIBRARY_DIR names another
MACHINES = {62: 'x86_64', 183: 'aarch64'}  # e_machine of an ELF file


class LibraryError(RuntimeError):
    """A compiled library can't be used; the text says why, in one line."""


class _Tensor(ctypes.Structure):
    _fields_ = [('data', ctypes.c_void_p), ('size', ctypes.c_int64 * 5),
                ('stride', ctypes.c_int64 * 5), ('ndim', ctypes.c_int32),
                ('type', ctypes.c_int32)]


class _Context(ctypes.Structure):
    _fields_ = [('device', ctypes.c_int32), ('isa', ctypes.c_int32), ('stream', ctypes.c_void_p)]


# Of csrc/mmvos_ops.h; what is no tensor converts itself or is refused.
_T, _INT, _DOUBLE = ctypes.POINTER(_Tensor), ctypes.c_int32, ctypes.c_double
FUNCTIONS: dict[str, list[type]] = {
    'mmvos_local_correlation': [_T] * 4 + [_INT, _INT],
    'mmvos_local_correlation_backward': [_T] * 6 + [_INT, _INT],
    'mmvos_local_propagation': [_T] * 6 + [_INT, _INT, _DOUBLE, _INT],
    'mmvos_local_propagation_backward': [_T] * 9 + [_INT, _DOUBLE],
}
CPU_FUNCTIONS: dict[str, list[type]] = {'mmvos_warp': [_T] * 3}


def library_path(name: str) -> Path:
    """Where the library 'cpu' or 'cuda' should lie."""
    # absolute: dlopen looks for a bare file name elsewhere
    folder = Path(os.environ.get('MMVOS_LIBRARY_DIR') or FOLDER).absolute()
    return folder / f'libmmvos_{name}.so'


def why_not(name: str) -> str | None:
    """Why the library 'cpu' or 'cuda' can't be used, in one line; None if it can."""
    library = _load(library_path(name))
    if isinstance(library, str):
        return library
    return _no_gpu(library_path(name)) if name == 'cuda' else None


def call(name: str, function: str, *args: Tensor | int | float | None) -> None:
    """Call `function` of the library; a tensor, None or a number per argument, outputs included.

    Raises:
        LibraryError: The library is not there, or the function failed.
    """
    tensors = [x for x in args if isinstance(x, Tensor)]
    devices = {x.device for x in tensors}
    if len(devices) != 1 or tensors[0].device.type != name:  # a wrong pointer would be a crash
        found = ', '.join(sorted(map(str, devices)))
        raise LibraryError(f'{function}: all tensors on one {name} device expected, got {found}')
    _call(name, function, *args, context=_context(tensors[0].device))


def instruction_set() -> str:
    """Name of the instruction set that the library 'cpu' runs with here, such as 'avx2'.

    Raises:
        LibraryError: The library is not there, or MMVOS_CPU_ISA names what this CPU lacks.
    """
    library = _load(library_path('cpu'))
    if isinstance(library, str):
        raise LibraryError(library)
    isa = _context(torch.device('cpu')).isa
    name = library.mmvos_instruction_set(isa).decode()
    if not name:
        raise LibraryError(f'MMVOS_CPU_ISA={isa} is not compiled or does not run on this CPU')
    return name


@lru_cache(maxsize=8)
def _load(path: Path) -> ctypes.CDLL | str:
    """The library, or why there is none."""
    try:
        if not path.is_file():
            return _build_log(path)
        problem = _elf_problem(path.read_bytes())
        if problem:
            return f'{path} {problem}'
        library = ctypes.CDLL(str(path))
        abi = library.mmvos_abi()
        if abi != ABI:
            return f'{path} has interface {abi}, this mmvos needs {ABI}; install mmvos again'
        library.mmvos_error.restype = ctypes.c_char_p
        functions = FUNCTIONS
        if 'cpu' in path.name:
            library.mmvos_instruction_set.restype = ctypes.c_char_p
            functions = FUNCTIONS | CPU_FUNCTIONS
        for name, types in functions.items():
            getattr(library, name).argtypes = [*types, ctypes.POINTER(_Context)]
    except (OSError, AttributeError) as error:
        return ' '.join(f'{path} does not load: {error}'.split())
    return library


def _build_log(path: Path) -> str:
    """What the build left instead of the library, in one line."""
    log = path.with_suffix('.log')
    if not log.is_file():
        return f'{path} does not exist'
    return 'not built: ' + ' '.join(log.read_text(encoding='utf-8', errors='replace').split())


def _elf_problem(data: bytes) -> str | None:
    """What dlopen says wrongly (another machine) or not at all, but crashes (a file cut short)."""
    if data[:6] != b'\x7fELF\2\1' or len(data) < 64:
        return None
    machine = MACHINES.get(struct.unpack_from('<H', data, 18)[0])
    if machine and platform.machine() in MACHINES.values() and machine != platform.machine():
        return f'is for {machine}, this machine is {platform.machine()}; install mmvos again'
    table, = struct.unpack_from('<Q', data, 40)  # of section headers: what a linker writes last
    size, count = struct.unpack_from('<HH', data, 58)
    if table + size * count > len(data):
        return f'is cut short: {len(data)} of {table + size * count} bytes; install mmvos again'
    return None


@lru_cache(maxsize=8)
def _no_gpu(path: Path) -> str | None:
    """Why the loaded CUDA library can't run here: torch, driver, or no code for this GPU."""
    if torch.version.cuda is None:
        return f'torch {torch.__version__} is built without CUDA'
    try:
        torch.cuda.init()  # says why, other than is_available
        memory = torch.cuda.caching_allocator_alloc(256)
        try:  # correlate one cell
            ones = (ctypes.c_int64 * 5)(1, 1, 1, 1)
            query, key, out = (_Tensor(memory + 64 * i, ones, ones, 4, 0) for i in range(3))
            _call('cuda', 'mmvos_local_correlation', query, key, None, out, 0, 1,
                  context=_context(torch.device('cuda')))
        finally:
            torch.cuda.caching_allocator_delete(memory)
    except (RuntimeError, AssertionError, torch.cuda.DeferredCudaCallError) as error:
        return ' '.join(str(error).split()) or type(error).__name__
    return None


def _call(name: str, function: str, *args: _Tensor | Tensor | float | None,
          context: _Context) -> None:
    library = _load(library_path(name))
    if isinstance(library, str):
        raise LibraryError(library)
    code = getattr(library, function)(*map(_argument, args), ctypes.byref(context))
    if code:
        raise LibraryError(f'{function}: {library.mmvos_error().decode(errors="replace")}')


def _context(device: torch.device) -> _Context:
    if device.type == 'cuda':
        index = torch.cuda.current_device() if device.index is None else device.index
        return _Context(index, 0, torch.cuda.current_stream(index).cuda_stream)
    isa = os.environ.get('MMVOS_CPU_ISA') or '0'
    if not isa.isdecimal():
        raise LibraryError(f'MMVOS_CPU_ISA={isa}: a number expected, 0 for the best')
    return _Context(torch.get_num_threads(), int(isa), None)


def _argument(x: _Tensor | Tensor | float | None) -> object:
    if isinstance(x, Tensor):
        if x.dtype not in TYPES:
            raise LibraryError(f'{x.dtype} is none of {", ".join(map(str, TYPES))}')
        sizes, strides = (ctypes.c_int64 * 5)(*x.shape), (ctypes.c_int64 * 5)(*x.stride())
        x = _Tensor(x.data_ptr(), sizes, strides, x.dim(), TYPES[x.dtype])
    return ctypes.byref(x) if isinstance(x, _Tensor) else x
