"""The documentation as a site: python docs/build.py OUT, then open OUT/html/index.html.

Every text stands in one place of the repository: the README, `docs/`, the README of each method in
`configs/` and the model cards. This puts them together as pages in OUT/source, makes the zoo's
table from the metafiles and the methods' numbers from `docs/results.json`, which
tools/analysis_tools/reproduce_table.py measured, lets links lead to pages, and runs Sphinx, whose
warnings are errors. Nothing is downloaded.
"""
from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import yaml

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'docs/results.json'
# pages that are parts of the README: their headings there
SECTIONS = {
    'get_started': ('Get started', ['Start', 'Segment a video', 'Test and train']),
    'results': ('Results', ['Numbers']),
    'limits': ('Limits', ['Limits']),
}
LINK = re.compile(r'(!?)\[([^\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)')
CODE = re.compile(r'^(```\{literalinclude\}) (\S+)$', flags=re.MULTILINE)


def readme_section(heading: str) -> str:
    """A section of the README, its heading counted in.

    Raises:
        ValueError: There is no such section.
    """
    parts = re.split(r'^(?=## )', (ROOT / 'README.md').read_text(), flags=re.MULTILINE)
    for part in parts:
        if part.startswith(f'## {heading}\n'):
            return part
    raise ValueError(f'README.md has no section "## {heading}"; name it so, or change SECTIONS')


def zoo() -> str:
    """The models of all metafiles as a table, with what was measured of each."""
    tool = results_tool()
    results = json.loads(RESULTS.read_text())
    plain = {row['config']: tool.measured(row, results) for rows in tool.load_tables().values()
             for row in rows if not row.keys() & {'dtype', 'options'}}
    lines = ['# Model zoo', '', '`VOSInferencer(NAME)`, `demo/video_demo.py --model NAME` and '
             '`tools/test.py CONFIG NAME` take these names.', '',
             'J&F and seconds per frame: ten sequences of DAVIS-2016 val, without a mask under the '
             'unsupervised protocol; see [the results](/results.md).', '',
             '| name | method | config | J&F | s/frame | weights | MB |', '|---' * 7 + '|']
    for path in sorted((ROOT / 'configs').glob('*/metafile.yml')):
        for model in yaml.safe_load(path.read_text())['Models']:
            weights, size = 'none needed', ''
            if 'Weights' in model:
                weights = f"[card](../checkpoints/{model['Name']}.md)"
                size = f"{(ROOT / model['Weights']).stat().st_size / 1e6:.1f}"
            method = f"[{model['In Collection']}](../configs/{path.parent.name}/README.md)"
            scores = plain.get(model['Config'])
            found = ' | '.join(f'{scores[key]:.{digits}f}' if scores else ''
                               for key, digits in (('J&F', 3), ('s/frame', 2)))
            lines.append(f"| `{model['Name']}` | {method} | `{model['Config']}` | {found} | "
                         f'{weights} | {size} |')
    return '\n'.join(lines) + '\n'


def results_tool() -> ModuleType:
    """The tool that measured docs/results.json."""
    path = ROOT / 'tools/analysis_tools/reproduce_table.py'
    spec = importlib.util.spec_from_file_location(path.stem, path)
    spec.loader.exec_module(tool := importlib.util.module_from_spec(spec))
    return tool


def numbers(method: str, text: str) -> str:
    """What was measured with the configs of a method and its text does not show; '' for nothing."""
    tool = results_tool()
    results = json.loads(RESULTS.read_text())
    tables = {name: chosen for name, rows in tool.load_tables().items() if (chosen := [
        row for row in rows if Path(row['config']).parts[1] == method
        and f'<!-- results: {name} -->' not in text and tool.measured(row, results)])}
    if not tables:
        return ''
    return (f'\n## Numbers\n\nTen sequences of DAVIS-2016 val, see [the results](/results.md). '
            f'{tool.as_text(tables, results)}\n\nA row again: '
            '`python tools/analysis_tools/reproduce_table.py --davis ROOT --rows N`.\n')


def sources() -> dict[str, tuple[Path, str]]:
    """Name of each page: the folder that its links start from, and its text."""
    pages = {path.stem: (path.parent, path.read_text()) for path in (ROOT / 'docs').glob('*.md')}
    for name, (title, headings) in SECTIONS.items():
        parts = [readme_section(heading) for heading in headings]
        text = f'# {title}\n\n' + '\n'.join(parts) if len(parts) > 1 else parts[0][1:]
        pages[name] = ROOT, text
    for path in [*(ROOT / 'configs').glob('*/README.md'), *(ROOT / 'checkpoints').glob('*.md')]:
        text = path.read_text()
        if path.parent.parent.name == 'configs':
            text += numbers(path.parent.name, text)
        pages[page_of(path)] = path.parent, text
    pages['contributing'] = ROOT, (ROOT / 'CONTRIBUTING.md').read_text()
    pages['changelog'] = ROOT, (ROOT / 'CHANGELOG.md').read_text()
    pages['model_zoo'] = ROOT / 'docs', zoo()
    return pages


def page_of(path: Path) -> str:
    """The page on which a text of the repository stands; '' if on none."""
    inside = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    known = {'configs': f'methods/{path.parent.name}', 'checkpoints': f'models/{path.stem}',
             'docs': path.stem, 'README.md': 'get_started', 'CONTRIBUTING.md': 'contributing',
             'CHANGELOG.md': 'changelog'}
    return known.get(inside.parts[0], '') if path.suffix == '.md' and path.is_file() else ''


def linked(text: str, folder: Path, files: Path) -> str:
    """Text whose links lead to pages; what is on none is named, pictures and code are copied."""
    def copied(target: str) -> str:
        path = (folder / target).resolve()
        inside = path.relative_to(ROOT)
        (files / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, files / inside)
        return f'/{files.name}/{inside}'

    def replace(match: re.Match) -> str:
        picture, label, target, anchor = match[1], match[2], match[3], match[4] or ''
        if not target or '://' in target:
            return match[0]
        if picture:
            return f'![{label}]({copied(target)})'
        page = page_of((folder / target).resolve())
        return f'[{label}](/{page}.md{anchor})' if page else f'`{label.strip("`")}`'

    text = CODE.sub(lambda match: f'{match[1]} {copied(match[2])}', text)
    # links only, no lines of code that look like one
    fences = re.split(r'(^```.*?^```$)', text, flags=re.MULTILINE | re.DOTALL)
    return ''.join(part if part.startswith('```') else LINK.sub(replace, part) for part in fences)


def assemble(source: Path) -> None:
    """Write all pages to a folder, anew."""
    shutil.rmtree(source, ignore_errors=True)
    for name, (folder, text) in sources().items():
        path = source / f'{name}.md'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(linked(text, folder, source / 'files'))


def main() -> int:
    """Put together and build; Sphinx' exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path, help='folder of the site')
    out = parser.parse_args().out.resolve()
    assemble(out / 'source')
    from sphinx.cmd.build import main as sphinx  # after what needs no Sphinx
    os.chdir(ROOT)  # literalinclude and warnings name files from here
    return sphinx(['-W', '--keep-going', '-n', '-q', '-E', '-c', str(ROOT / 'docs'),
                   str(out / 'source'), str(out / 'html')])


if __name__ == '__main__':
    sys.exit(main())
