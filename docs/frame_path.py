"""Draws the path of a frame from tools/test.py to its PNG: python docs/frame_path.py OUT.svg.

Runs a real test of MAMP on a rendered video, looks at the call stack wherever the third frame is
segmented, memorised and compressed and where its PNG is written, and draws these stacks as one
tree. What belongs to the engine is grey; how torch calls a module is left out.
"""
from __future__ import annotations

import runpy
import sys
import tempfile
from html import escape
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[1]
# where to look, and which call of it: the first frame is not segmented
STATIONS = {'LabelPropagation.segment': 2, 'LabelPropagation.memorize': 3, 'encode_mask': 3,
            'atomic_write': 3}
HIDDEN = ('<', 'exit_with_message', 'main')
ARGUMENTS = ['configs/mamp/mamp_r18_synthetic.py', 'mamp_r18', '--cfg-options',
             'test_dataloader.dataset.num_videos=1', 'test_dataloader.dataset.length=3',
             'test_dataloader.dataset.size=(64,96)', 'log_level=ERROR']
Call = tuple[str, str]  # file, function
WIDTH, ROW, INDENT, BOX = 900, 34, 26, 26


def stacks() -> list[list[Call]]:
    """The calls that lead to each station, outermost first."""
    found: list[list[Call]] = []
    counts = dict.fromkeys(STATIONS, 0)

    def look(frame: FrameType, event: str, _: object) -> None:
        name = frame.f_code.co_qualname
        if event == 'call' and name in counts:
            counts[name] += 1
            if counts[name] == STATIONS[name]:
                found.append(stack_of(frame))

    with tempfile.TemporaryDirectory() as folder:
        sys.argv = ['tools/test.py', *ARGUMENTS, f'work_dir={folder}/log',
                    '--out', f'{folder}/masks']
        sys.path.insert(0, str(ROOT))
        sys.setprofile(look)
        try:
            runpy.run_path(str(ROOT / 'tools/test.py'), run_name='__main__')
        finally:
            sys.setprofile(None)
    return found


def stack_of(frame: FrameType | None) -> list[Call]:
    """Calls of mmvos and of the engine, outermost first."""
    calls: list[Call] = []
    while frame is not None:
        path, name = frame.f_code.co_filename, frame.f_code.co_qualname
        if any(part in path for part in (f'{ROOT}/mmvos/', f'{ROOT}/tools/', '/mmengine/')):
            calls.append((short(path), name))
        frame = frame.f_back
    return [call for call in calls[::-1] if not call[1].startswith(HIDDEN)]


def short(path: str) -> str:
    """Path from the root of the package or of the checkout."""
    if '/mmengine/' in path:
        return 'mmengine/' + path.rpartition('/mmengine/')[2]
    return str(Path(path).relative_to(ROOT))


def tree_rows(paths: list[list[Call]]) -> list[tuple[int, Call]]:
    """Depth and call of each line: stacks one after the other, what they share said once."""
    rows: list[tuple[int, Call]] = []
    before: list[Call] = []
    for path in paths:
        shared = 0
        while shared < min(len(path), len(before)) and path[shared] == before[shared]:
            shared += 1
        rows += list(enumerate(path))[shared:]
        before = path
    return rows


def svg(rows: list[tuple[int, Call]]) -> str:
    """The tree as a picture."""
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
             f'height="{ROW * len(rows) + 16}" font-family="monospace" font-size="13">',
             '<rect width="100%" height="100%" fill="white"/>']
    tops: dict[int, int] = {}  # of the last box at each depth
    for number, (depth, (file, name)) in enumerate(rows):
        x, y = 8 + INDENT * depth, 8 + ROW * number
        tops[depth] = y
        if depth:
            lines.append(f'<path d="M{x - INDENT + 12} {tops[depth - 1] + BOX} V{y + BOX // 2} '
                         f'H{x}" fill="none" stroke="#888"/>')
        station = name in STATIONS
        fill = '#eee' if file.startswith('mmengine') else '#ffd9a0' if station else '#d5e5ff'
        lines.append(f'<rect x="{x}" y="{y}" width="{9 * len(name) + 12}" height="{BOX}" rx="4" '
                     f'fill="{fill}" stroke="#555"/>'
                     f'<text x="{x + 6}" y="{y + 18}">{escape(name)}</text>'
                     f'<text x="{x + 9 * len(name) + 22}" y="{y + 18}" fill="#777" '
                     f'font-size="11">{escape(file)}</text>')
    return '\n'.join([*lines, '</svg>', ''])


def main() -> None:
    """Draw."""
    if len(sys.argv) != 2:
        sys.exit('usage: python docs/frame_path.py OUT.svg')
    out = Path(sys.argv[1])
    rows = tree_rows(stacks())
    out.write_text(svg(rows))
    for depth, (file, name) in rows:
        print('  ' * depth + f'{name}  ({file})')


if __name__ == '__main__':
    main()
