"""Find what is wrong with the masks of a dataset: python tools/analysis_tools/check_dataset.py ROOT

Exit status: 0 no errors (warnings and notes are none), 1 errors (with --fix: errors that remain),
2 wrong usage. docs/mask_doctor.md says what is looked for.
"""
import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from mmvos.io import InputError, atomic_write
from mmvos.io.command_line import exit_with_message
from mmvos.io.doctor import (
    Finding,
    Layout,
    VideoReport,
    check_dataset,
    check_output,
    find_layout,
    write_repaired_copy,
)

SEVERITIES = ('error', 'warning', 'note')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('root', type=Path, help='dataset, in any of the layouts of '
                        'docs/mask_doctor.md')
    parser.add_argument('--fix', type=Path, metavar='OUT', help='write a repaired copy there')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the findings there too')
    return parser.parse_args()


def show(title: str, findings: list[Finding], root: Path, fix: bool) -> None:
    """Print the findings of one video."""
    if findings:
        print(title)
    for finding in findings:
        done = '' if not fix else ' [repaired]' if finding.fixable else ' [not repaired]'
        mark = done if fix and finding.severity != 'note' else ''
        print(f'  {finding.severity}: {finding.line(root)}{mark}', flush=True)


def check(layout: Layout, root: Path, fix: bool) -> list[VideoReport]:
    """Check every video and print as soon as one is done."""
    show(f'{root}', layout.findings, root, fix)
    reports = []
    for report in check_dataset(layout):
        title = (f'{report.video.name} ({count(report.frames, "frame")}, '
                 f'{count(len(report.masks), "mask")})')
        show(title, report.findings, root, fix)
        reports.append(report)
    return reports


def count(number: int, noun: str) -> str:
    return f'{number} {noun}' + 's' * (number != 1)


def summary(reports: list[VideoReport], counts: Counter) -> str:
    frames = sum(report.frames for report in reports)
    masks = sum(len(report.masks) for report in reports)
    single = sum(len(report.masks) == 1 < report.frames for report in reports)
    alone = f' ({single} with one mask only)' if single else ''
    found = ', '.join(count(counts[severity], severity) for severity in SEVERITIES)
    return (f'{count(len(reports), "video")}{alone}, {count(frames, "frame")}, '
            f'{count(masks, "mask")}: {found}')


def as_dict(finding: Finding) -> dict:
    return dict(kind=finding.kind, severity=finding.severity, path=str(finding.path),
                message=finding.message, remedy=finding.remedy, fixable=finding.fixable,
                others=[str(path) for path in finding.others])


def write_json(path: Path, root: Path, layout: Layout, reports: list[VideoReport],
               counts: Counter) -> None:
    videos = [dict(name=report.video.name, frames=report.frames, masks=len(report.masks),
                   findings=[as_dict(finding) for finding in report.findings])
              for report in reports]
    data = dict(root=str(root), layout=layout.kind,
                counts={severity: counts[severity] for severity in SEVERITIES},
                findings=[as_dict(finding) for finding in layout.findings], videos=videos)
    atomic_write(path, (json.dumps(data, indent=1) + '\n').encode())


def main() -> None:
    args = parse_args()
    layout = find_layout(args.root)
    if args.json and args.json.is_dir():
        raise InputError(f'{args.json} is a folder; give --json a file')
    if args.fix:
        check_output(args.fix, args.root)
    reports = check(layout, args.root, bool(args.fix))
    findings = layout.findings + [f for report in reports for f in report.findings]
    counts = Counter(finding.severity for finding in findings)
    print(summary(reports, counts))
    if args.json:
        write_json(args.json, args.root, layout, reports, counts)
    errors = [finding for finding in findings if finding.severity == 'error']
    if args.fix:
        masks, files = write_repaired_copy(args.root, args.fix, reports)
        errors = [finding for finding in errors if not finding.fixable]
        print(f'{args.fix}: {count(masks, "mask")} written, {count(files, "other file")} copied, '
              f'{count(len(errors), "error")} not repaired')
    sys.exit(1 if errors else 0)


if __name__ == '__main__':
    exit_with_message(main)
