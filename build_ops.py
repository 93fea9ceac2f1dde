"""Compiles mmvos/ops/csrc into libmmvos_cpu.so and libmmvos_cuda.so; needs no torch and no GPU.

setup.py calls `build`; by hand: python build_ops.py [--out DIR] [--only cpu] [--cuda on] ...
Read from the environment: CXX, MMVOS_CUDA (auto, on, off), MMVOS_CUDA_ARCH (80,90), CUDA_HOME.
"""
from __future__ import annotations

import argparse
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

OPS = Path(__file__).resolve().parent / 'mmvos' / 'ops'
CSRC, LIB = OPS / 'csrc', OPS / 'lib'

COMPILERS = ('c++', 'g++', 'clang++')
COMMON = ['-std=c++17', '-O3', '-fPIC', '-fvisibility=hidden', '-ffp-contract=fast',
          '-fno-math-errno', '-Wall', '-I.']
# A CPU with one of them has those before it. Kernels are compiled once for each.
AVX512 = ['-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mfma']
ISA_FLAGS = {'baseline': [], 'avx2': ['-mavx2', '-mfma'], 'avx512': AVX512,
             'avx512_bf16': [*AVX512, '-mavx512bf16']}
PROBE = """#include <immintrin.h>
#if defined(__AVX512BF16__)
__m512 probe(__m512 x, __m512bh y) { return _mm512_dpbf16_ps(x, y, y); }
#elif defined(__AVX512F__)
__m512i probe(__m512i x) { return _mm512_abs_epi8(x); }
#else
__m256 probe(__m256 x) { return _mm256_fmadd_ps(x, x, x); }
#endif
"""
ERROR = r'\berror\b|undefined reference|cannot find'
CUDA_ARCHS = ('75', '80', '86', '89', '90')


class BuildError(Exception):
    """Why a library is not there, in one line."""


class NotAsked(BuildError):
    """It was not to be built here: no compiler, no GPU, MMVOS_CUDA=off."""


def build(out: Path = LIB, cuda: str | None = None, sanitize: str = '',
          only: str = '') -> dict[str, BuildError | None]:
    """Builds both libraries into `out`; what lay there of an earlier build is replaced or removed.

    Args:
        out: Folder; a library that is missing leaves its reason there, as a .log.
        cuda: 'auto', 'on' or 'off'; None: the variable MMVOS_CUDA, else 'auto'.
        sanitize: For -fsanitize in the CPU library, such as 'address,undefined'.
        only: 'cpu' or 'cuda': leave the other as it is.

    Returns:
        For 'cpu' and 'cuda' why it is missing, None where it was built.

    Raises:
        BuildError: cuda='on' and there is no CUDA library, or a variable makes no sense.
    """
    cuda = cuda or os.environ.get('MMVOS_CUDA') or 'auto'
    if cuda not in ('auto', 'on', 'off'):
        raise BuildError(f'MMVOS_CUDA={cuda}: auto, on or off expected')
    steps = {'cpu': lambda target, work: _build_cpu(target, work, sanitize),
             'cuda': lambda target, work: _cuda_as_asked(target, work, cuda)}
    out.mkdir(parents=True, exist_ok=True)
    results = {name: _build_one(out.resolve() / f'libmmvos_{name}.so', step)
               for name, step in steps.items() if only in ('', name)}
    if cuda == 'on' and results.get('cuda'):
        raise results['cuda']
    return results


def _build_one(target: Path, step) -> BuildError | None:
    log, part = target.with_suffix('.log'), target.with_name(f'{target.stem}.{os.getpid()}.part')
    start = time.perf_counter()
    try:
        with TemporaryDirectory() as work:
            step(part, Path(work))
        os.replace(part, target)  # a process that has the old one loaded keeps it
    except (BuildError, OSError) as error:
        part.unlink(missing_ok=True)
        target.unlink(missing_ok=True)  # it would not belong to this mmvos
        log.write_text(f'{error}\n', encoding='utf-8')
        print(f'{target.name}: not built: {error}')
        return error if isinstance(error, BuildError) else BuildError(str(error))
    log.unlink(missing_ok=True)
    print(f'{target.name}: built in {time.perf_counter() - start:.1f} s, {target}')
    return None


def _build_cpu(target: Path, work: Path, sanitize: str) -> None:
    if os.name == 'nt':
        raise NotAsked('no CPU library for Windows')
    cxx, machine = find_compiler()
    flags, link = COMMON, []
    if sanitize:
        link = [f'-fsanitize={sanitize}', '-fno-sanitize-recover=all']
        flags = [*COMMON, '-O1', '-g', '-fno-omit-frame-pointer', *link]
    elif 'linux' in machine:
        link = ['-static-libstdc++', '-static-libgcc', '-Wl,-z,defs',
                f'-Wl,--version-script={exports(work)}']
    jobs = _cpu_jobs(work, instruction_sets(cxx, machine, work))
    run_all([[*cxx, *flags, *job] for job in jobs])
    command = [*cxx, '-shared', '-pthread', '-o', str(target), *(job[-1] for job in jobs)]
    try:
        run([*command, *link])
    except BuildError:  # some distributions have no static libstdc++
        if not any(option.startswith('-static') for option in link):
            raise
        run([*command, *(option for option in link if not option.startswith('-static'))])


def _cpu_jobs(work: Path, isas: list[str]) -> list[list[str]]:
    """Options of each compilation, the object last."""
    known = [f'-DMMVOS_HAS_{isa.upper()}=1' for isa in isas[1:]]
    known += ['-DMMVOS_X86=1'] if known else []
    entries = [name for name in sources('cpu', '*.cpp') if '/local_' not in name]
    jobs = [[*known, '-c', name, '-o', str(work / f'{Path(name).stem}.o')] for name in entries]
    # The weakest instruction set comes first, because of several copies of an inline function the
    # linker takes the first: it has to run everywhere.
    return jobs + [
        [*known, *ISA_FLAGS[isa], f'-DMMVOS_ISA={isa}', '-c', name,
         '-o', str(work / f'{Path(name).stem}.{isa}.o')]
        for isa in isas for name in sources('cpu', 'local_*.cpp')]


def find_compiler() -> tuple[list[str], str]:
    """The command of the C++ compiler and the machine it compiles for, such as x86_64-linux-gnu."""
    chosen = os.environ.get('CXX')
    for name in [chosen] if chosen else COMPILERS:
        try:
            first, *options = shlex.split(name)
            command = [os.path.abspath(shutil.which(first) or first), *options]
            return command, run([*command, '-dumpmachine']).strip()
        except (BuildError, ValueError):
            continue
    tried = f'CXX={chosen}' if chosen else ', '.join(COMPILERS)
    raise NotAsked(f'no working C++ compiler (tried {tried}); install one, then mmvos again')


def instruction_sets(cxx: list[str], machine: str, work: Path) -> list[str]:
    """The instruction sets that the compiler and its assembler know, weakest first."""
    if not re.match('x86_64|amd64', machine):
        return ['baseline']
    probe = work / 'probe.cpp'
    probe.write_text(PROBE, encoding='utf-8')

    def known(isa: str) -> bool:
        try:
            run([*cxx, *ISA_FLAGS[isa], '-c', str(probe), '-o', str(work / f'probe.{isa}')])
        except BuildError as error:
            print(f'libmmvos_cpu.so: without {isa}: {error}')
            return False
        return True

    stronger = list(ISA_FLAGS)[1:]
    with ThreadPoolExecutor(len(stronger)) as pool:
        works = list(pool.map(known, stronger))
    return ['baseline', *itertools.compress(stronger, works)]


def _cuda_as_asked(target: Path, work: Path, cuda: str) -> None:
    try:
        nvcc = find_nvcc()
        if cuda == 'off':
            raise NotAsked('not asked for')
        if not nvcc:
            raise NotAsked('no nvcc; install the CUDA toolkit or set CUDA_HOME, then install '
                           'mmvos again')
        if cuda == 'auto' and not has_driver():
            raise NotAsked('no NVIDIA driver; install mmvos with MMVOS_CUDA=on to compile '
                           'without one')
        _build_cuda(target, work, nvcc)
    except BuildError as error:
        raise type(error)(f'MMVOS_CUDA={cuda}: {error}') from error


def _build_cuda(target: Path, work: Path, nvcc: str) -> None:
    names = sources('cuda', '*.cu')
    threads = max(1, cores() // len(names))
    flags = ['-std=c++17', '-O3', '-I.', '-Xcompiler=-fPIC,-fvisibility=hidden',
             '-Wno-deprecated-gpu-targets', f'--threads={threads}', *gencode(nvcc)]
    jobs = [[nvcc, *flags, '-c', name, '-o', str(work / f'{Path(name).stem}.o')]
            for name in names]
    run_all(jobs)
    run([nvcc, '-shared', '-cudart=static', '-Xcompiler=-static-libstdc++,-static-libgcc',
         f'-Xlinker=--version-script={exports(work)}', '-o', str(target),
         *(job[-1] for job in jobs)])


def find_nvcc() -> str | None:
    """Path of nvcc: of CUDA_HOME, else of PATH, else of /usr/local/cuda."""
    home = os.environ.get('CUDA_HOME')
    return (home and shutil.which('nvcc', path=str(Path(home, 'bin')))) or shutil.which(
        'nvcc') or shutil.which('nvcc', path='/usr/local/cuda/bin')


def has_driver() -> bool:
    """Whether an NVIDIA driver is installed."""
    if Path('/proc/driver/nvidia').exists():
        return True
    try:
        return bool(run(['nvidia-smi', '-L']).strip())
    except BuildError:
        return False


def gencode(nvcc: str) -> list[str]:
    """Flags for machine code of every architecture and PTX of the newest, for GPUs to come."""
    archs = [arch.strip() for arch in os.environ.get('MMVOS_CUDA_ARCH', '').split(',')]
    if archs == ['']:  # each CUDA release drops old ones and adds new ones
        known = re.findall(r'compute_(\w+)', run([nvcc, '--list-gpu-arch']))
        archs = [arch for arch in CUDA_ARCHS if arch in known]
        if not archs:
            raise BuildError(f'{nvcc} knows none of sm_{", sm_".join(CUDA_ARCHS)}; '
                             'name yours: MMVOS_CUDA_ARCH=...')
    wrong = [arch for arch in archs if not re.fullmatch(r'\d+[af]?', arch)]
    if wrong:
        raise BuildError(f'MMVOS_CUDA_ARCH: {", ".join(wrong)} is no architecture; such as 80,90')
    newest = max(archs, key=lambda arch: int(arch.rstrip('af')))
    return [f'-gencode=arch=compute_{arch},code=sm_{arch}' for arch in archs] + [
        f'-gencode=arch=compute_{newest},code=compute_{newest}']


def exports(work: Path) -> Path:
    """File for the linker: torch brings its own libstdc++ and cudart, no symbol may meet theirs."""
    path = work / 'exports.map'
    path.write_text('{ global: mmvos_*; local: *; };\n', encoding='utf-8')
    return path


def sources(folder: str, pattern: str) -> list[str]:
    """Names of the matching files, relative to csrc, sorted."""
    names = sorted(path.relative_to(CSRC).as_posix() for path in (CSRC / folder).glob(pattern))
    if not names:
        raise BuildError(f'no {folder}/{pattern} in {CSRC}')
    return names


def cores() -> int:
    """Number of processors for this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else (
        os.cpu_count() or 1)


def run_all(commands: list[list[str]]) -> None:
    """Runs the commands, one process per core; at the first that fails no other is begun."""
    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(run, commands))


def run(command: list[str]) -> str:
    """Runs a command in csrc, shows what it says, returns its standard output."""
    try:
        done = subprocess.run(command, cwd=CSRC, stdin=subprocess.DEVNULL, capture_output=True,
                              encoding='utf-8', errors='replace',
                              env={**os.environ, 'LC_ALL': 'C'})
    except OSError as error:
        raise BuildError(f'{command[0]}: {error.strerror}') from error
    if done.returncode == 0:
        sys.stderr.write(done.stderr)
        return done.stdout
    said = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    print(shlex.join(command), *said, sep='\n', file=sys.stderr)
    errors = [line for line in said if re.search(ERROR, line, re.IGNORECASE)]
    first = (errors or said or [f'exit status {done.returncode}'])[0]
    raise BuildError(f'{Path(command[0]).name}: {first[:300]}')


def main() -> int:
    """Builds as the command line says; 0: all that was to be built here was built."""
    parser = argparse.ArgumentParser(description='Compile the libraries of mmvos.ops.')
    parser.add_argument('--out', type=Path, default=LIB, help='folder (default: mmvos/ops/lib)')
    parser.add_argument('--cuda', choices=('auto', 'on', 'off'), help='default: MMVOS_CUDA, auto')
    parser.add_argument('--only', choices=('cpu', 'cuda'), default='', help='leave the other')
    parser.add_argument('--sanitize', default='', help='such as address,undefined (CPU library)')
    args = parser.parse_args()
    try:
        results = build(args.out, args.cuda, args.sanitize, args.only)
    except BuildError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return int(any(error and not isinstance(error, NotAsked) for error in results.values()))


if __name__ == '__main__':
    sys.exit(main())
