"""Oracles: the standard parser of HTML, closed forms, brute force over frames."""
import base64
import io
import math
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from mmvos.evaluation.attributes import by_time, over_time
from mmvos.evaluation.labels import Labels, VideoPair
from mmvos.evaluation.offline import evaluate_pairs
from mmvos.evaluation.page import write_page
from mmvos.evaluation.plots import bars_per_sequence, scores_over_time, worst_sequences
from mmvos.evaluation.protocols import PROTOCOLS, build_protocol
from mmvos.evaluation.report import Report
from mmvos.evaluation.scores import ObjectScores, VideoScores
from mmvos.io import InputError

SIZE = (40, 64)
NASTY = '<b>&"\'$x$ \u6728 \udcff'
VOID_TAGS = {'meta', 'img'}


class Arrays(Labels):
    """Label maps in memory; None is a missing one."""

    def __init__(self, maps):
        self.maps = maps

    def read(self, position):
        return self.maps[position]

    def where(self, position):
        return f'frame {position}'

    def has(self, position):
        return self.maps[position] is not None


class Page(HTMLParser):
    """Tags that must match, attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], Counter(), [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] += 1
        assert len(dict(attrs)) == len(attrs)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def values(self, name):
        return [value for key, value in self.attributes if key == name]


def squares(length, ids=(1,), shift=0):
    maps = []
    for t in range(length):
        labels = np.zeros(SIZE, np.uint8)
        for row, label in enumerate(ids):
            labels[2 + 18 * row:14 + 18 * row, 4 + t + shift:20 + t + shift] = label
        maps.append(labels)
    return maps


def pair_of(name='clip', length=6, ids=(1,), shift=3, missing=()):
    pred = [None if t in missing else labels
            for t, labels in enumerate(squares(length, ids, shift))]
    return VideoPair(name, [f'{t:05}' for t in range(length)], Arrays(squares(length, ids)),
                     Arrays(pred))


def written(tmp_path, *pairs, protocol='folder', **options):
    report = evaluate_pairs(pairs, build_protocol(protocol))
    write_page(report, pairs, tmp_path / 'page.html', **options)
    return report, (tmp_path / 'page.html').read_text('utf-8')


def cells(text):
    """Rows of the last table: the text of their cells."""
    table = text[text.rindex('<table>'):]
    return [[re.sub('<[^>]*>', '', cell)
             for cell in re.findall(r'<t[hd]\b[^>]*>(.*?)</t[hd]>', row)]
            for row in re.findall(r'<tr\b.*?</tr>', table, re.S)]


def score_of(name, j, f=1.):
    values = np.full(12, float(j))
    return VideoScores(name, [str(t) for t in range(12)], [
        ObjectScores(1, np.arange(12), values, np.full(12, f), np.full(12, 0.1))])


def test_page_is_whole_and_loads_nothing(tmp_path):
    _, text = written(tmp_path, pair_of(), pair_of(NASTY, ids=(1, 2)))
    page = Page(text)
    assert page.tags['script'] == page.tags['link'] == page.tags['iframe'] == 0
    assert not re.search(r'https?:|url\((?!#)|@import', text)
    assert all(value.startswith('data:image/jpeg;base64,') for value in page.values('src'))
    references = page.values('href') + page.values('xlink:href')
    ids = page.values('id')
    assert len(ids) == len(set(ids))
    assert {value.removeprefix('#') for value in references} <= set(ids)
    assert set(re.findall(r'url\(#([^)]*)\)', text)) <= set(ids)


def test_names_are_text(tmp_path):
    _, text = written(tmp_path, pair_of(NASTY))
    page = Page(text)
    name = NASTY.replace('\udcff', '\\udcff')
    assert sum(name in part for part in page.texts) == 4  # bar, two captions, table
    assert page.tags['b'] == 0
    assert [value for value in page.values('alt') if name in value]


def test_numbers_are_those_of_the_report(tmp_path):
    pairs = pair_of('a'), pair_of('b', ids=(1, 2), shift=5)
    report, text = written(tmp_path, *pairs)
    columns = report.protocol.columns
    assert f'J&amp;F<strong>{report.summary["J&F"]:.3f}</strong>' in text
    for phrase in (report.protocol.counts, report.protocol.verified, *report.notes):
        assert phrase in text
    expected = [['sequence', 'objects', *(name.replace('&', '&amp;') for name in columns)]]
    for video in report.videos:
        expected.append([video.name, str(len(video.objects)),
                         *(f'{report.rows[video.name][column]:.3f}' for column in columns)])
        if video.name == 'b':
            expected += [[f'object {item.label}', '', *(
                f'{report.protocol.object_row(item)[column]:.3f}' for column in columns)]
                for item in video.objects]
    expected.append(['all', '3', *(f'{value:.3f}' for value in report.summary.values())])
    assert cells(text) == expected


def test_what_is_not_there_is_a_dash(tmp_path):
    late = pair_of('late')
    late.truth.maps[:-2] = [np.zeros(SIZE, np.uint8)] * 4  # never after the frame that gives it
    late.pred.maps[:] = late.truth.maps
    report, text = written(tmp_path, pair_of('a'), late, protocol='davis2017')
    assert math.isnan(report.rows['late']['J'])
    assert ['late', '0', *['-'] * 7] in cells(text)
    assert 'nan' not in text.lower()
    Page(text)


def test_missing_predictions(tmp_path):
    _, text = written(tmp_path, pair_of(missing=(2, 3)))
    assert 'clip <small>2 frames missing</small>' in text
    assert 'frames without a prediction, scored as empty: 2' in text
    worst = re.findall(r'<figcaption>clip, (.*?)</figcaption>', text)
    assert worst[0] == 'object 1, frame 00002: J 0.000, F 0.000'


def test_single_frame_of_a_single_object(tmp_path):
    _, text = written(tmp_path, pair_of(length=1))
    page = Page(text)
    assert page.tags['svg'] == 2
    assert page.tags['img'] == 1
    assert '1 video, 1 object, 1 mask counted' in text


def test_perfect_results(tmp_path):
    _, text = written(tmp_path, pair_of(shift=0))
    assert Page(text).tags['img'] == 0
    assert 'No frame has an error.' in text


def test_pictures_are_jpegs_of_one_width(tmp_path):
    _, text = written(tmp_path, pair_of(length=30), pair_of('b', length=30))
    sources = Page(text).values('src')
    assert len(sources) == 6
    for source in sources:
        image = Image.open(io.BytesIO(base64.b64decode(source.partition(',')[2])))
        assert (image.format, image.size) == ('JPEG', (320, 200))


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_every_protocol_has_a_page(tmp_path, protocol):
    pairs = [pair_of(name, 30, ids=(1, 2), missing=(10,)) for name in ('car_0001', 'dog_0001')]
    report, text = written(tmp_path, *pairs, protocol=protocol)
    page = Page(text)
    assert page.tags['img'] >= 6
    assert page.values('aria-label') == ['J and F of each sequence', 'J and F over time']
    assert page.tags['dt'] == len(report.summary)
    assert {len(row) for row in cells(text)} == {2 + len(report.protocol.columns)}


def test_merged_objects_have_no_ids(tmp_path):
    _, text = written(tmp_path, pair_of(ids=(1, 2)), protocol='foreground')
    assert 'object 1' not in text
    assert cells(text)[1][:2] == ['clip', '1']


def test_bytes_do_not_depend_on_run_or_settings(tmp_path, monkeypatch):
    pairs = pair_of(), pair_of('b', ids=(1, 2))
    _, first = written(tmp_path, *pairs)
    monkeypatch.setitem(mpl.rcParams, 'font.size', 20.)
    monkeypatch.setitem(mpl.rcParams, 'lines.linewidth', 9.)
    _, second = written(tmp_path, *pairs)
    assert first == second
    assert mpl.rcParams['font.size'] == 20


@pytest.mark.parametrize(('count', 'shown', 'phrase'), [
    (1, 1, 'All sequences'), (40, 40, 'All sequences'),
    (500, 40, 'The 40 worst of 500 sequences')])
def test_many_sequences(tmp_path, count, shown, phrase):
    values = np.random.default_rng(0).permutation(count) / (2 * count)
    report = Report(build_protocol('folder'), [
        score_of(f'video-{n}', value, 0.7) for n, value in enumerate(values)])
    bars = bars_per_sequence(report)
    names = re.findall(r'>(video-\d+)<', bars)
    assert names == [f'video-{n}' for n in np.argsort(values)[:shown]]
    assert worst_sequences(report)[0] == (names[0], 0., pytest.approx(0.7))
    height = float(re.search(r'viewBox="0 0 331.2 ([\d.]+)"', bars)[1])
    assert height == pytest.approx(72 * (0.75 + 0.2 * shown))
    write_page(report, [pair_of(f'video-{n}', 12) for n in range(count)], tmp_path / 'page.html')
    text = (tmp_path / 'page.html').read_text()
    assert phrase in text
    assert len(cells(text)) == count + 2
    Page(text)


def test_length_of_a_bar_is_its_value():
    report = Report(build_protocol('folder'), [score_of('a', 0.25), score_of('b', 0.5)])
    ends = [sorted({float(x) for x in re.findall(r'[ML] ([\d.]+) ', path)}) for path in re.findall(
        r'<path d="([^"]*)" clip-path="[^"]*" style="fill: #4a7fc1"', bars_per_sequence(report))]
    widths = [right - left for left, right in ends]
    assert widths[1] == pytest.approx(2 * widths[0])


def test_over_time_is_the_mean_of_tenths():
    generator = np.random.default_rng(0)
    videos = [VideoScores(f'v{n}', [str(t) for t in range(length)], [ObjectScores(
        1, np.arange(length), *generator.random((2, length)), np.ones(length))])
        for n, length in enumerate((1, 7, 10, 33))]
    j, f = over_time(videos)
    for values, key, parts in (
            ([v.objects[0].j for v in videos], 'j', j), ([v.objects[0].f for v in videos], 'f', f)):
        for n, row in enumerate(values):
            for part in range(10):
                inside = [value for t, value in enumerate(row)
                          if part / 10 <= t / len(row) < (part + 1) / 10]
                expected = np.mean(inside) if inside else np.nan
                np.testing.assert_allclose(parts[n, part], expected, rtol=1e-12)
        np.testing.assert_allclose(
            np.nanmean(parts, 0), [getattr(row, key) for row in by_time(videos)], rtol=1e-12)


def test_gap_in_time_is_left_out():
    """3 frames lie in the tenths 0, 3 and 6."""
    video = VideoScores('a', list('abc'), [
        ObjectScores(1, np.arange(3), np.array([0.2, 0.4, 0.6]), np.ones(3), np.ones(3))])
    plot = scores_over_time([video])
    left, width = map(float, re.search(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"',
                                       plot).groups())
    dots = [float(x) for x in re.findall(
        r'<use xlink:href="#\w+" x="([\d.]+)" y="[\d.]+" style="fill: #4a7fc1; stroke', plot)]
    middles = [left + width * share for share in (0.05, 0.35, 0.65)]
    assert dots[:3] == pytest.approx(middles)
    assert len(dots) == 3 + 1  # and the legend's


def test_unreadable_frame_leaves_the_earlier_page(tmp_path):
    (tmp_path / 'frames/clip').mkdir(parents=True)
    (tmp_path / 'frames/clip/00000.jpg').write_bytes(b'no image')
    (tmp_path / 'page.html').write_text('earlier')
    with pytest.raises(InputError, match=r'00000\.jpg is not an image'):
        written(tmp_path, pair_of(length=1), frames=tmp_path / 'frames')
    assert (tmp_path / 'page.html').read_text() == 'earlier'
    assert sorted(path.name for path in tmp_path.iterdir()) == ['frames', 'page.html']


def test_imports_are_light():
    code = ('import sys, mmvos.evaluation.page; print({"torch", "mmengine", "matplotlib", "scipy"} '
            '& set(sys.modules))')
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          check=True).stdout == 'set()\n'
