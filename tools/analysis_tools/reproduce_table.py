"""Measure all results anew: accuracy, seconds per frame and peak memory of every row.

python tools/analysis_tools/reproduce_table.py --davis ROOT [--raft FILE] [--results FILE]
    [--rows N [N ...]] [--list | --show] [--write FILE [FILE ...]]

ROOT has the layout of DAVIS-2016. Every row of results.yml is one run of tools/test.py. Each is
noted in FILE as soon as it is measured, with day, machine and weights, and a second call measures
what is missing or was measured with other weights: so the table can be made in parts.

s/frame: decoding, network and compression of the masks, over the whole test; scoring waits for the
end of each video here (test_evaluator.num_workers=0), which changes no score. Peak memory is that
of the whole process, torch and its libraries counted in.
"""
from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from mmvos.io import atomic_path
from mmvos.io.command_line import exit_with_message

ROOT = Path(__file__).resolve().parents[2]
ROWS = Path(__file__).with_name('results.yml')
SCORES = ('J&F', 'J', 'F', 'T')
PACE = re.compile(r'(\d+\.\d+) s/frame \(')
BLOCK = re.compile(r'(<!-- results: ([^\n]*) -->\n)'
                   r'((?:(?!<!-- results).)*?)(<!-- end of results -->)', re.DOTALL)
Row = dict[str, Any]


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--davis', default='data/DAVIS', help='root of DAVIS-2016')
    parser.add_argument('--raft', help='the public raft-small.pth; rows with it are left out else')
    parser.add_argument('--results', type=Path, default=Path('work_dirs/table/results.json'),
                        metavar='FILE', help='what was measured; logs go beside it')
    parser.add_argument('--rows', type=int, nargs='+', metavar='N', help='these rows only, anew')
    parser.add_argument('--list', action='store_true', help='print the commands, run nothing')
    parser.add_argument('--show', action='store_true', help='print the tables, run nothing')
    parser.add_argument('--write', type=Path, nargs='+', default=[], metavar='FILE',
                        help='texts to put tables and their commands into, each between lines '
                        '<!-- results: NAME OF THE TABLE --> and <!-- end of results -->')
    return parser.parse_args()


def load_tables() -> dict[str, list[Row]]:
    """Tables with their rows, which are numbered through from 1."""
    tables = yaml.safe_load(ROWS.read_text())
    for number, row in enumerate((row for rows in tables.values() for row in rows), 1):
        row['number'] = number
    return tables


def command(row: Row, davis: str = 'DAVIS', raft: str = 'RAFT') -> list[str]:
    """Arguments of Python that test this row, in the root of the checkout."""
    options = {'test_dataloader.dataset.data_root': davis, **row.get('options', {})}
    return ['tools/test.py', row['config'], *([row['weights']] if 'weights' in row else []),
            *(['--dtype', row['dtype']] if 'dtype' in row else []), '--cfg-options',
            *(f'{key}={str(value).format(raft=raft)}' for key, value in options.items())]


def weights_file(row: Row) -> str:
    """Name of the file with the row's weights, which ends with their hash; '' for none."""
    if 'weights' not in row:
        return ''
    from mmvos.apis import find_checkpoint  # here: imports torch
    return find_checkpoint(row['weights']).name


def measured(row: Row, results: dict[str, Row]) -> Row | None:
    """What was measured of a row with the weights of today."""
    found = results.get(shlex.join(command(row)))
    return found if found and found['weights'] == weights_file(row) else None


def measure(row: Row, args: argparse.Namespace) -> Row:
    """Run the test of a row in a process of its own.

    Raises:
        ValueError: The test failed; its log is named.
    """
    work_dir = args.results.resolve().parent / 'logs' / f"{row['number']:02d}"
    work_dir.mkdir(parents=True, exist_ok=True)
    paths = [str(Path(path).resolve()) for path in (args.davis, args.raft or '')]
    with open(work_dir / 'log.txt', 'w+') as log:
        process = subprocess.Popen(
            [sys.executable, *command(row, *paths), 'test_evaluator.num_workers=0',
             '--work-dir', str(work_dir)], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)  # what this one process used, and no other
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        pace = PACE.findall(log.read())
    if process.returncode or not pace:
        raise ValueError(f"row {row['number']}, {row['method']}, could not be tested; "
                         f'{work_dir}/log.txt says why')
    scalars = max(work_dir.glob('*/*.json'), key=lambda path: path.stat().st_mtime)
    scores = json.loads(scalars.read_text().splitlines()[-1])
    unit = 1024**2 if sys.platform == 'darwin' else 1024
    return {**{name: scores[name] for name in SCORES if math.isfinite(scores.get(name, math.nan))},
            's/frame': float(pace[-1]), 'MiB': round(usage.ru_maxrss / unit),
            'weights': weights_file(row), 'day': time.strftime('%Y-%m-%d'), 'machine': machine()}


def machine() -> str:
    """Processors of this machine."""
    info = Path('/proc/cpuinfo')
    models = re.findall(r'model name\s*: (.*)', info.read_text()) if info.is_file() else []
    return f'{os.cpu_count()} x {models[0] if models else platform.processor()}'


def as_markdown(rows: list[Row], results: dict[str, Row]) -> str:
    """One table; a dash for what does not exist, nothing for what was not measured."""
    found = [measured(row, results) or {} for row in rows]
    shown = [name for name in SCORES if any(name in scores for scores in found)]
    lines = [f"| row | method | {' | '.join(shown)} | s/frame | peak MiB | weights | trained on |",
             '|---' * (len(shown) + 6) + '|']
    for row, scores in zip(rows, found, strict=True):
        missing = '-' if scores else ''
        cells = [f'{scores[name]:.3f}' if name in scores else missing for name in shown]
        cells += [f"{scores['s/frame']:.2f}", f"{scores['MiB']:,}"] if scores else ['', '']
        cells += [f"`{row['weights']}`" if 'weights' in row else '', row.get('training', '')]
        lines.append(f"| {row['number']} | {row['method']} | {' | '.join(cells)} |")
    return '\n'.join(lines)


def as_text(tables: dict[str, list[Row]], results: dict[str, Row]) -> str:
    """All tables, and when and on what they were measured."""
    rows = [row for rows in tables.values() for row in rows]
    runs = sorted({f"{scores['day']} on {scores['machine']}" for row in rows
                   if (scores := measured(row, results))})
    return '\n\n'.join([*(f'{name}:\n\n{as_markdown(rows, results)}'
                          for name, rows in tables.items()),
                        f"Measured {'; '.join(runs) or 'not yet'}."])


def as_commands(tables: dict[str, list[Row]]) -> str:
    """What measures each row, for a shell with the variables DAVIS and RAFT."""
    def quoted(word: str) -> str:
        return word if '$' in word else shlex.quote(word)

    return '\n'.join(
        f"python {' '.join(map(quoted, command(row, '$DAVIS', '$RAFT')))}    # {row['number']}"
        for rows in tables.values() for row in rows)


def filled(text: str, tables: dict[str, list[Row]], results: dict[str, Row]) -> str:
    """A text with tables and their commands between the marks that name them.

    Raises:
        ValueError: There are no such marks, one lacks its end, or names no table.
    """
    def block(match: re.Match) -> str:
        begin, name, _, end = match.groups()
        if name not in tables:
            raise ValueError(f'expected the name of a table in {begin.strip()}; they are: '
                             f"{'; '.join(tables)}")
        table = {name: tables[name]}
        return (f'{begin}\n{as_text(table, results)}\n\n<details>\n<summary>Commands</summary>\n\n'
                f'```\n{as_commands(table)}\n```\n\n</details>\n\n{end}')

    text, count = BLOCK.subn(block, text)
    if not count or count != text.count('<!-- results'):
        raise ValueError('expected lines <!-- results: NAME OF A TABLE -->, each with a line '
                         '<!-- end of results --> below it; put them where the results belong')
    return text


def main() -> None:
    """List, show, or measure what is missing and show."""
    args = parse_args()
    if args.list and args.write:
        raise ValueError('--list writes nothing; leave --write out, or give --show instead')
    tables = load_tables()
    rows = [row for table in tables.values() for row in table]
    if args.rows and not set(args.rows) <= {row['number'] for row in rows}:
        raise ValueError(f'--rows should be among 1 to {len(rows)}, got {args.rows}')
    if args.list:
        for row in rows:
            words = command(row, args.davis, args.raft or 'RAFT')
            print(f"python {shlex.join(words)}    # {row['number']}")
        return
    results = json.loads(args.results.read_text()) if args.results.is_file() else {}
    for path in args.write:
        filled(path.read_text(), tables, results)  # now: a text without marks costs hours
    for row in [] if args.show else rows:
        chosen = row['number'] in args.rows if args.rows else not measured(row, results)
        if chosen and (args.raft or '{raft}' not in str(row.get('options'))):
            print(f"{row['number']}/{len(rows)} {row['method']} ...", file=sys.stderr, flush=True)
            results[shlex.join(command(row))] = measure(row, args)
            with atomic_path(args.results) as part:
                part.write_text(json.dumps(results, indent=1))
    print(as_text(tables, results))
    for path in args.write:
        text = filled(path.read_text(), tables, results)
        with atomic_path(path) as part:
            part.write_text(text)


if __name__ == '__main__':
    exit_with_message(main)
