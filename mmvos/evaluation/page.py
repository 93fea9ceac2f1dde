"""A report as one HTML file that needs nothing else: numbers, plots, the worst frames."""
from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmvos.io import atomic_path

from .attributes import ATTRIBUTES, Part, attributes
from .labels import VideoPair
from .plots import bars_per_sequence, plain, scores_over_time, worst_sequences
from .report import Report
from .scores import VideoScores
from .worst_frames import ADDED, CORRECT, MISSED, WIDTH, WorstFrame, error_picture, worst_frames

# The page may load nothing, whatever the names in it say.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1b1f24; --soft: #5c6570; --line: #d9dde2;
  --card: #f6f7f9; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --ink: #e4e7ea; --soft: #98a2ad;
  --line: #343a41; --card: #1c2024; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 24px; line-height: 1.25; margin: 0; }
h2 { font-size: 18px; margin: 40px 0 12px; }
h3 { font-size: 15px; margin: 16px 0 4px; }
p { margin: 4px 0; }
.soft, figcaption, caption, small { color: var(--soft); font-size: 13px; }
.headline { font-size: 18px; margin: 12px 0; }
.headline strong { font-size: 56px; line-height: 1.1; font-weight: 600; margin-left: 8px; }
.notes { margin: 8px 0; padding-left: 20px; }
.summary { display: flex; flex-wrap: wrap; margin: 16px 0; gap: 8px; }
.summary div { border: 1px solid var(--line); border-radius: 4px; padding: 4px 12px; }
.summary dt { color: var(--soft); font-size: 13px; }
.summary dd { margin: 0; }
dd, td, .headline strong { font-variant-numeric: tabular-nums; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr));
  gap: 24px 32px; align-items: start; }
figure { margin: 0; min-width: 0; }
svg { display: block; width: 100%; max-width: 540px; height: auto; stroke-linejoin: round; }
svg text { fill: var(--ink); font-family: system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans',
  sans-serif; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; }
th, td { text-align: right; padding: 3px 10px; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
thead th, tbody th { font-weight: 600; }
th:first-child { text-align: left; padding-left: 0; white-space: normal; overflow-wrap: anywhere;
  min-width: 120px; }
tr.object th { font-weight: 400; padding-left: 20px; }
tr.object { color: var(--soft); }
tfoot { font-weight: 600; }
.worst { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 240px), 1fr));
  gap: 16px; }
.worst img { display: block; width: 100%; height: auto; border-radius: 4px; }
.worst figcaption { overflow-wrap: anywhere; }
.legend span { display: inline-block; margin-right: 16px; }
.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 2px;
  margin-right: 6px; vertical-align: -1px; }
"""


def write_page(report: Report, pairs: Sequence[VideoPair], path: str | Path, *,
               frames: str | Path | None = None) -> None:
    """Write the page of a report.

    The bytes are the same for the same report, masks and frames.

    Args:
        report: The scores.
        pairs: The videos that they are of.
        path: The file to write.
        frames: Holds the images `<video>/<frame>.jpg` or .png; the worst frames are shown on grey
            where there is none.

    Raises:
        InputError: A file cannot be read or the page be written.
    """
    folder = None if frames is None else Path(frames)
    sections = [_head(report), _plots(report), _worst(report, pairs, folder), _table(report)]
    title = _text(f'{report.protocol.title}: evaluation')
    page = '\n'.join([
        '<!DOCTYPE html>', '<html lang="en">', '<head>', '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f'<title>{title}</title>', f'<style>{STYLE}</style>', '</head>', '<body>', '<main>',
        *sections, '</main>', '</body>', '</html>', ''])
    with atomic_path(path) as part:
        part.write_bytes(page.encode())


def _head(report: Report) -> str:
    """Return the headline, what it counts, and all averages."""
    protocol, (column, value) = report.protocol, next(iter(report.summary.items()))
    objects = [item for video in report.videos for item in video.objects]
    masks = sum(len(item.frames) for item in objects)
    size = ', '.join(_number(*pair) for pair in (
        (len(report.videos), 'video'), (len(objects), 'object'), (masks, 'mask')))
    values = ''.join(f'<div><dt>{_text(key)}</dt><dd>{_value(item)}</dd></div>'
                     for key, item in report.summary.items())
    notes = ''.join(f'<li>{_text(note)}</li>' for note in report.notes)
    return '\n'.join([
        '<header>', f'<h1>{_text(protocol.title)}</h1>',
        f'<p class="headline">{_text(column)}<strong>{_value(value)}</strong></p>',
        f'<p>Counts {_text(protocol.counts)}.</p>',
        f'<p class="soft">Protocol {_text(protocol.name)}; {size} counted. '
        f'Verified: {_text(protocol.verified)}.</p>',
        f'<ul class="notes soft">{notes}</ul>' if notes else '',
        f'<dl class="summary">{values}</dl>', '</header>'])


def _plots(report: Report) -> str:
    """Return J and F by sequence, over time and by the other attributes."""
    scored = sum(not math.isnan(row['J']) for row in report.rows.values())
    shown = len(worst_sequences(report))
    which = f'The {shown} worst of {scored} sequences' if shown < scored else 'All sequences'
    return '\n'.join([
        '<section>', '<h2>Where it fails</h2>', '<div class="columns">', '<figure>',
        '<h3>By sequence</h3>', bars_per_sequence(report),
        f'<figcaption>{which} by J, the worst first; the table below has all columns.</figcaption>',
        '</figure>', '<div>', '<figure>', '<h3>Over time</h3>', scores_over_time(report.videos),
        "<figcaption>Tenths of each object's counted frames: means over objects, and from the "
        'lower to the upper quartile of J.</figcaption>', '</figure>',
        *(_attribute(ATTRIBUTES[name][0], rows)
          for name, rows in attributes(report.videos).items() if name != 'time'),
        '<p class="soft">The size of an object is its annotated share of the frame.</p>',
        '</div>', '</div>', '</section>'])


def _attribute(title: str, rows: Iterable[Part]) -> str:
    """Return J and F by an attribute."""
    body = ''.join(f'<tr><th scope="row">{_text(row.label)}</th><td>{_value(row.j)}</td>'
                   f'<td>{_value(row.f)}</td><td>{row.count} {row.unit}</td></tr>\n'
                   for row in rows)
    return (f'<h3>{_text(title.capitalize())}</h3>\n<div class="wide"><table>\n<thead><tr>'
            '<th scope="col"></th><th scope="col">J</th><th scope="col">F</th>'
            f'<th scope="col">mean over</th></tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>')


def _worst(report: Report, pairs: Sequence[VideoPair], frames: Path | None) -> str:
    """Return pictures of the worst frames."""
    found, by_name = worst_frames(report.videos), {pair.name: pair for pair in pairs}
    if not found:
        return '<section>\n<h2>Worst frames</h2>\n<p>No frame has an error.</p>\n</section>'
    pictures = [_figure(frame, report, error_picture(frame, by_name[frame.video.name],
                                                     report.protocol, frames)) for frame in found]
    keys = [(colour, name) for (colour, _), name in (
        (CORRECT, 'correct'), (MISSED, 'missed'), (ADDED, 'wrongly added'))]
    legend = ''.join(f'<span><i style="background: rgb{colour}"></i>{name}</span>'
                     for colour, name in keys)
    return '\n'.join([
        '<section>', '<h2>Worst frames</h2>',
        f'<p class="legend">{legend}<span><i style="background: #fff; border: 1px solid #888"></i>'
        'outline of the annotated object</span></p>',
        '<p class="soft">The lowest J of any object on any frame, at most 3 frames of an object. '
        'Small objects are shown with the part of the frame around them.</p>',
        '<div class="worst">', *pictures, '</div>', '</section>'])


def _figure(frame: WorstFrame, report: Report, jpeg: bytes) -> str:
    """Return a picture with its caption."""
    j, f = frame.values
    names = [frame.video.name, f'object {frame.item.label}',
             f'frame {frame.video.frames[frame.position]}']
    if report.protocol.rules.merge:
        del names[1]
    where = _text(', '.join(names))
    return (f'<figure><img width="{WIDTH}" alt="Errors of {where}" '
            f'src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">\n'
            f'<figcaption>{where}: J {_value(j)}, F {_value(f)}</figcaption></figure>')


def _table(report: Report) -> str:
    """Return the values of each video, and of its objects where there are several."""
    columns = report.protocol.columns
    heads = ''.join(f'<th scope="col">{_text(name)}</th>'
                    for name in ('sequence', 'objects', *columns))
    rows = '\n'.join(row for video in report.videos for row in _rows(report, video))
    total = _row('all', [sum(len(video.objects) for video in report.videos),
                         *(report.summary[column] for column in columns)])
    return '\n'.join(['<section>', '<h2>Sequences</h2>', '<div class="wide"><table>',
                      f'<thead><tr>{heads}</tr></thead>', f'<tbody>\n{rows}\n</tbody>',
                      f'<tfoot>{total}</tfoot>', '</table></div>', '</section>'])


def _rows(report: Report, video: VideoScores) -> list[str]:
    """Return the rows of a video."""
    columns = report.protocol.columns
    missing = f'{_number(len(video.missing), "frame")} missing' if video.missing else ''
    rows = [_row(video.name, [len(video.objects), *report.rows[video.name].values()], missing)]
    if len(video.objects) > 1:
        for item in video.objects:
            values = report.protocol.object_row(item)
            rows.append(_row(f'object {item.label}',
                             ['', *(values.get(column, math.nan) for column in columns)],
                             item.group, 'object'))
    return rows


def _row(name: str, cells: Iterable[float | str], remark: str = '', kind: str = '') -> str:
    """Return a row of the table."""
    values = ''.join(f'<td>{_value(cell)}</td>' for cell in cells)
    remark = f' <small>{_text(remark)}</small>' if remark else ''
    return (f'<tr class="{kind}">' if kind else '<tr>') + \
        f'<th scope="row">{_text(name)}{remark}</th>{values}</tr>'


def _text(text: str) -> str:
    return html.escape(plain(text))


def _value(value: float | str) -> str:
    if not isinstance(value, float):
        return str(value)
    return '-' if math.isnan(value) else f'{value:.3f}'


def _number(count: int, name: str) -> str:
    return f'{count} {name}' + ('' if count == 1 else 's')
