"""Measure the README's results anew: accuracy, seconds per frame and peak memory of every row.

python tools/analysis_tools/reproduce_table.py --davis ROOT [--raft FILE] [--out DIR]
    [--rows N [N ...]] [--list]

ROOT has the layout of DAVIS-2016. Every row of results.yml is one run of tools/test.py; each is
noted in OUT as soon as it is measured, and a second call measures those that are missing, so that
the table can be made in parts. The table is printed and written to OUT/table.md.

s/frame: decoding, network and compression of the masks, over the whole test; scoring runs beside
them in a thread. Peak memory is that of the whole process, torch and its libraries counted in.
"""
from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from mmvos.io.command_line import exit_with_message

ROOT = Path(__file__).resolve().parents[2]
ROWS = Path(__file__).with_name('results.yml')
COLUMNS = ('J&F', 'J', 'F', 'T')
PACE = re.compile(r'(\d+\.\d+) s/frame \(')


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--davis', default='data/DAVIS', help='root of DAVIS-2016')
    parser.add_argument('--raft', help='the public raft-small.pth; rows with it are left out else')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/table'), metavar='DIR')
    parser.add_argument('--rows', type=int, nargs='+', metavar='N', help='these rows only, anew')
    parser.add_argument('--list', action='store_true', help='print the commands, run nothing')
    return parser.parse_args()


def load_tables() -> list[dict[str, Any]]:
    """Tables with their rows, which are numbered through from 1."""
    tables = yaml.safe_load(ROWS.read_text())
    for number, row in enumerate((row for table in tables for row in table['rows']), 1):
        row['number'] = number
    return tables


def command(row: dict[str, Any], davis: str, raft: str | None) -> list[str]:
    """Arguments of Python that test this row, in the root of the checkout."""
    options = {'test_dataloader.dataset.data_root': davis, **row.get('options', {})}
    return ['tools/test.py', row['config'], *([row['weights']] if 'weights' in row else []),
            *(['--dtype', row['dtype']] if 'dtype' in row else []), '--cfg-options',
            *(f'{key}={str(value).format(raft=raft or "RAFT")}' for key, value in options.items())]


def measure(row: dict[str, Any], args: argparse.Namespace) -> dict[str, float]:
    """Run the test of a row in a process of its own.

    Raises:
        ValueError: The test failed; its log is named.
    """
    work_dir = args.out.resolve() / f"{row['number']:02d}"
    work_dir.mkdir(parents=True, exist_ok=True)
    davis, raft = (path and str(Path(path).resolve()) for path in (args.davis, args.raft))
    with open(work_dir / 'log.txt', 'w+') as log:
        process = subprocess.Popen(
            [sys.executable, *command(row, davis, raft), '--work-dir', str(work_dir)], cwd=ROOT,
            stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)  # what this one process used, and no other
        log.seek(0)
        pace = PACE.findall(log.read())
    if status or not pace:
        raise ValueError(f"row {row['number']}, {row['method']}, could not be tested; "
                         f'{work_dir}/log.txt says why')
    scalars = max(work_dir.glob('*/*.json'), key=lambda path: path.stat().st_mtime)
    scores = json.loads(scalars.read_text().splitlines()[-1])
    kibibytes = usage.ru_maxrss / (1024 if sys.platform == 'darwin' else 1)
    return {name: scores[name] for name in COLUMNS if name in scores} | {
        's/frame': float(pace[-1]), 'MiB': kibibytes / 1024}


def as_markdown(rows: list[dict[str, Any]], found: dict[int, dict[str, float]]) -> str:
    """One table, with a row number as the name of its command."""
    shown = [name for name in COLUMNS if any(name in scores for scores in found.values())]
    lines = ['| method | ' + ' | '.join(shown) + ' | s/frame | peak | weights | trained on | row |',
             '|---' * (len(shown) + 6) + '|']
    for row in rows:
        scores = found.get(row['number'], {})
        cells = [_text(scores.get(name), '.3f') for name in shown]
        cells += [_text(scores.get('s/frame'), '.2f'), _text(scores.get('MiB'), ',.0f') + ' MiB',
                  f"`{row['weights']}`" if 'weights' in row else '', row.get('training', ''),
                  str(row['number'])]
        lines.append(f"| {row['method']} | {' | '.join(cells)} |")
    return '\n'.join(lines)


def _text(value: float | None, form: str) -> str:
    """A number, or a dash for one that is missing or does not exist (None, NaN)."""
    return '-' if value is None or value != value else format(value, form)


def main() -> None:
    """List, or measure what is missing and print the tables."""
    args = parse_args()
    tables = load_tables()
    rows = [row for table in tables for row in table['rows']]
    if args.rows and not set(args.rows) <= {row['number'] for row in rows}:
        raise ValueError(f'--rows should be among 1 to {len(rows)}, got {args.rows}')
    if args.list:
        for row in rows:
            print(f"python {shlex.join(command(row, args.davis, args.raft))}    # {row['number']}")
        return
    found: dict[int, dict[str, float]] = {}
    for row in rows:
        note = args.out / f"{row['number']:02d}.json"
        chosen = row['number'] in args.rows if args.rows else not note.is_file()
        if chosen and (args.raft or '{raft}' not in str(row.get('options'))):
            print(f"{row['number']}/{len(rows)} {row['method']} ...", file=sys.stderr, flush=True)
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(json.dumps(measure(row, args)))
        if note.is_file():
            found[row['number']] = json.loads(note.read_text())
    text = '\n\n'.join(
        f"{table['table']}\n\n" + as_markdown(table['rows'], {
            row['number']: found[row['number']] for row in table['rows']
            if row['number'] in found})
        for table in tables)
    (args.out / 'table.md').write_text(text + '\n')
    print(text)


if __name__ == '__main__':
    exit_with_message(main)
