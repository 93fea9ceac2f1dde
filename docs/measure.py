"""Sizes of the code, as docs/architecture.md has them.

python docs/measure.py [ROOT ...]

For each checkout (default: this one) a row: the package's files and their lengths in lines,
comments, docstrings and tests as shares of its lines of code, lengths of functions, and the most
arguments of a constructor. Lines of code hold neither blanks, comments nor docstrings.
"""
from __future__ import annotations

import argparse
import ast
import io
import statistics
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

BLANK = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
         tokenize.ENCODING, tokenize.ENDMARKER}
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass
class Sizes:
    """Of some files.

    Args:
        files: Lines and path of each file.
        functions: Lines of each function, its docstring and inner functions counted in.
        arguments: Number of arguments and name of each constructor.
        code: Lines of code; `comments` and `docstrings` likewise.
    """

    files: list[tuple[int, str]] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    arguments: list[tuple[int, str]] = field(default_factory=list)
    code: int = 0
    comments: int = 0
    docstrings: int = 0

    def add(self, text: str, name: str) -> None:
        """Count one more file."""
        tree = ast.parse(text)
        documented = docstring_lines(tree)
        code, comments = set(), set()
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            lines = range(token.start[0], token.end[0] + 1)
            if token.type == tokenize.COMMENT:
                comments.update(lines)
            elif token.type not in BLANK:
                code.update(lines)
        self.files.append((len(text.splitlines()), name))
        self.code += len(code - documented)
        self.comments += len(comments)
        self.docstrings += len(documented)
        for node in ast.walk(tree):
            if isinstance(node, FUNCTION):
                self.functions.append(node.end_lineno - node.lineno + 1)
            if isinstance(node, ast.ClassDef):
                self.arguments += [(count_arguments(inner), node.name) for inner in node.body
                                   if isinstance(inner, FUNCTION) and inner.name == '__init__']


def docstring_lines(tree: ast.AST) -> set[int]:
    """Numbers of the lines that belong to docstrings."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, *FUNCTION)) and ast.get_docstring(
                node, clean=False) is not None:
            first = node.body[0]
            lines.update(range(first.lineno, first.end_lineno + 1))
    return lines


def count_arguments(function: ast.FunctionDef) -> int:
    """Arguments without `self`, `*args` and `**kwargs`."""
    arguments = function.args
    return len(arguments.posonlyargs + arguments.args + arguments.kwonlyargs) - 1


def sizes(paths: Iterable[Path]) -> Sizes:
    """Of the Python files below some folders."""
    found = Sizes()
    for path in sorted(file for folder in paths for file in folder.rglob('*.py')):
        found.add(path.read_text(), path.name)
    return found


def percentile(values: list[int], share: float) -> int:
    """The value that `share` of the values do not exceed."""
    return sorted(values)[max(0, round(share * len(values)) - 1)]


def row(root: Path) -> list[str]:
    """The measures of a checkout of mmvos."""
    package, tests = sizes([root / 'mmvos']), sizes([root / 'tests'])
    lengths = [length for length, _ in package.files]
    longest, file = max(package.files)
    most, cls = max(package.arguments)
    return [str(len(lengths)),
            f'{statistics.median(lengths):.0f} / {percentile(lengths, .9)} / {longest} `{file}`',
            *(f'{part / package.code:.2f}'
              for part in (package.comments, package.docstrings, tests.code)),
            f'{statistics.median(package.functions):.0f} / {percentile(package.functions, .9)} / '
            f'{max(package.functions)}', f'{most} `{cls}`']


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('roots', nargs='*', type=Path, default=[Path(__file__).parents[1]],
                        metavar='ROOT', help='checkouts of mmvos')
    titles = ['', 'files', 'median / p90 / largest file', 'comments/code', 'docstring/code',
              'test/code', 'function median / p90 / longest', 'most constructor arguments']
    roots = [root.resolve() for root in parser.parse_args().roots]
    for cells in (titles, ['---'] * len(titles), *([root.name, *row(root)] for root in roots)):
        print(f"| {' | '.join(cells)} |")


if __name__ == '__main__':
    main()
