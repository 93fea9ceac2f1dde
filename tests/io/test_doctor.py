"""The mask doctor: a sound video has no findings, and every defect that is made is found.

The oracles: the defect that the test makes, and `read_mask`, which must refuse what is called an
error and read what is not.
"""
import json
import os
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmvos.io import InputError, decode_mask, encode_mask, palette, read_mask
from mmvos.io.doctor import (
    Finding,
    VideoFiles,
    check_dataset,
    check_output,
    check_video,
    find_layout,
    refuse_broken_start,
    write_repaired_copy,
)

RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 256, (5, 32, 40, 3), np.uint8)
LABELS = np.zeros((5, 32, 40), np.uint8)
for _index in range(5):
    LABELS[_index, 4:14, 4 + _index:16 + _index] = 1
    LABELS[_index, 18:30, 20:34 - _index] = 2
COLOURS = np.frombuffer(palette(), np.uint8).reshape(-1, 3)
# an edge of three grey levels around a square
SOFT = np.zeros((32, 40), np.uint8)
for _index, _level in enumerate((60, 120, 190, 255)):
    SOFT[5 + _index:25 - _index, 8 + _index:30 - _index] = _level


def make_video(folder, labels=LABELS, frames=FRAMES):
    """<folder>/frames/00000.png, ..., <folder>/masks/00000.png, ..."""
    for name in ('frames', 'masks'):
        (folder / name).mkdir(parents=True)
    for index, image in enumerate(frames):
        Image.fromarray(image).save(folder / 'frames' / f'{index:05d}.png')
    for index, ids in enumerate(labels):
        (folder / 'masks' / f'{index:05d}.png').write_bytes(encode_mask(ids))
    return folder


@pytest.fixture
def root(tmp_path):
    return make_video(tmp_path / 'data' / 'bear').parent


def check(root):
    """{kind: finding} of all videos; every kind once."""
    layout = find_layout(root)
    findings = layout.findings + [f for report in check_dataset(layout) for f in report.findings]
    kinds = {finding.kind: finding for finding in findings}
    assert len(kinds) == len(findings), [finding.line() for finding in findings]
    return kinds


def save(root, index, values, name=None, **options):
    path = root / 'bear/masks' / (name or f'{index:05d}.png')
    Image.fromarray(values).save(path, **options)
    return path


def save_all(root, make):
    for index, ids in enumerate(LABELS):
        save(root, index, make(ids))


def rgb(ids):
    return COLOURS[ids]


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def test_a_sound_video_has_no_findings(root):
    assert check(root) == {}


@pytest.mark.parametrize('labels', [LABELS[:1], LABELS[:2]])
def test_masks_on_the_first_frames_only_are_sound(tmp_path, labels):
    make_video(tmp_path / 'bear', labels)
    assert check(tmp_path) == {}


# --- defects: what is done, the kind of finding, its severity, the file, --fix, a word of it

def _cut_frame(root):
    cut(root / 'bear/frames/00002.png')


def _cut_mask(root):
    cut(root / 'bear/masks/00002.png')


def _text_mask(root):
    (root / 'bear/masks/00002.png').write_text('no image')


def _empty_frame_file(root):
    (root / 'bear/frames/00002.png').write_bytes(b'')


def _same_name(root):
    Image.fromarray(FRAMES[0]).save(root / 'bear/frames/00002.jpg')


def _same_mask_name(root):
    save(root, 2, LABELS[2], '00002.bmp')


def _frame_of_another_size(root):
    Image.fromarray(FRAMES[2, :, 1:]).save(root / 'bear/frames/00002.png')
    save(root, 2, LABELS[2, :, 1:])


def _duplicated(root):
    Image.fromarray(FRAMES[1]).save(root / 'bear/frames/00002.png', compress_level=0)


def _narrow(root):
    save(root, 2, LABELS[2, :, 1:])


def _tall(root):
    save(root, 2, np.pad(LABELS[2], ((0, 2), (0, 0))))


def _small(root):
    save(root, 2, LABELS[2, 3:])


def _without_frame(root):
    save(root, 9, LABELS[2])


def _mask_missing(root):
    (root / 'bear/masks/00002.png').unlink()


def _begins_late(root):
    for index in (0, 2, 4):
        (root / f'bear/masks/0000{index}.png').unlink()


def _empty_first(root):
    save(root, 0, LABELS[0] * 0)


def _gap(root):
    save_all(root, lambda ids: ids * np.uint8(3))


def _late_object(root):
    save(root, 0, LABELS[0] % 2)


def _void(root):
    save(root, 2, np.where(LABELS[2] == 2, 255, LABELS[2]).astype(np.uint8))


def _black_and_white(root):
    save_all(root, lambda ids: (ids > 0) * np.uint8(255))


def _one_black_and_white(root):
    save(root, 2, (LABELS[2] > 0) * np.uint8(255))


def _some_black_and_white(root):
    save_all(root, lambda ids: (ids > 0).astype(np.uint8))
    save(root, 2, (LABELS[2] > 0) * np.uint8(255))


def _rgb(root):
    save_all(root, rgb)


def _rgb_beside_ids(root):
    save(root, 2, rgb(LABELS[2]))


def _jpeg_ids(root):
    (root / 'bear/masks/00002.png').unlink()
    save(root, 2, LABELS[2] * np.uint8(90), '00002.jpg')


def _jpegs_of_one_object(root):
    for index, ids in enumerate(LABELS):
        (root / f'bear/masks/{index:05d}.png').unlink()
        save(root, index, (ids == 1) * np.uint8(255), f'{index:05d}.jpg', quality=90)


def _soft(root):
    save_all(root, lambda ids: SOFT)


def _soft_shades(root):
    save_all(root, lambda ids: np.concatenate([SOFT[:16], SOFT[16:] // 2]))


def _soft_beside_ids(root):
    save(root, 2, SOFT)


def _transparent(root):
    save_all(root, lambda ids: np.dstack([rgb(ids), (ids > 0) * np.uint8(255)]))


def _opaque(root):
    Image.fromarray(LABELS[2]).convert('LA').save(root / 'bear/masks/00002.png')


def _deep(root):
    save(root, 2, LABELS[2].astype(np.uint16))


def _large(root):
    save(root, 2, LABELS[2].astype(np.uint16) * 300)


def _no_frames(root):
    for path in (root / 'bear/frames').iterdir():
        path.unlink()


def _no_masks(root):
    for path in (root / 'bear/masks').iterdir():
        path.unlink()


DEFECTS = [
    (_cut_frame, 'unreadable-frame', 'error', 'frames/00002.png', False, 'cannot be read'),
    (_empty_frame_file, 'unreadable-frame', 'error', 'frames/00002.png', False, 'not an image'),
    (_cut_mask, 'unreadable-mask', 'error', 'masks/00002.png', False, 'export it again'),
    (_text_mask, 'unreadable-mask', 'error', 'masks/00002.png', False, 'not an image'),
    (_same_name, 'same-frame-name', 'error', 'frames/00002.png', False, '00002.jpg'),
    (_same_mask_name, 'same-mask-name', 'error', 'masks/00002.png', False, '00002.bmp'),
    (_frame_of_another_size, 'frame-size', 'error', 'frames/00002.png', False, '39x32'),
    (_duplicated, 'duplicated-frame', 'warning', 'frames/00002.png', False, '1 frame of 5'),
    (_narrow, 'mask-size', 'warning', 'masks/00002.png', True, 'is 39x32'),
    (_tall, 'mask-size', 'warning', 'masks/00002.png', True, 'is 40x34'),
    (_small, 'mask-size', 'error', 'masks/00002.png', False, 'its frame is 40x32'),
    (_without_frame, 'mask-without-frame', 'error', 'masks/00009.png', False, '00000 to 00004'),
    (_mask_missing, 'frame-without-mask', 'warning', 'frames/00002.png', False, '1 frame of 5'),
    (_begins_late, 'late-first-mask', 'warning', 'masks/00001.png', False, 'frame 00000'),
    (_empty_first, 'empty-first-mask', 'error', 'masks/00000.png', False, 'no object'),
    (_gap, 'id-gap', 'warning', 'masks/00000.png', False, '3, 6 and leave out 1, 2, 4, 5'),
    (_late_object, 'late-object', 'note', 'masks/00001.png', False, '2 in 00001.png'),
    (_void, 'void', 'warning', 'masks/00002.png', False, '255 beside ids'),
    (_black_and_white, 'black-and-white', 'note', 'masks/00000.png', True, 'ONE object'),
    (_one_black_and_white, 'mixed-masks', 'error', 'masks/00002.png', False, '4 with ids'),
    (_some_black_and_white, 'mixed-masks', 'error', 'masks/00002.png', True, '1 black and white'),
    (_rgb, 'colour-mask', 'error', 'masks/00000.png', True, 'DAVIS palette'),
    (_jpeg_ids, 'jpeg-mask', 'error', 'masks/00002.jpg', False, 'blurs labels'),
    (_jpegs_of_one_object, 'jpeg-mask', 'error', 'masks/00000.jpg', True, 'blurs labels'),
    (_soft, 'soft-mask', 'error', 'masks/00000.png', True, 'anti-aliased'),
    (_soft_shades, 'soft-mask', 'error', 'masks/00000.png', False, 'anti-aliased'),
    (_transparent, 'transparent-mask', 'error', 'masks/00000.png', False, 'without alpha'),
    (_opaque, 'alpha-mask', 'warning', 'masks/00002.png', True, 'alpha channel'),
    (_deep, 'deep-mask', 'warning', 'masks/00002.png', True, '8 bits'),
    (_large, 'large-ids', 'error', 'masks/00002.png', False, '300, 600'),
    (_no_frames, 'no-frames', 'error', 'frames', False, 'holds no frame'),
    (_no_masks, 'no-masks', 'error', 'masks', False, 'holds no mask'),
]


@pytest.mark.parametrize(('make', 'kind', 'severity', 'file', 'fixable', 'told'), DEFECTS,
                         ids=[case[0].__name__[1:] for case in DEFECTS])
def test_a_defect_is_found_alone(root, make, kind, severity, file, fixable, told):
    make(root)
    findings = check(root)
    assert set(findings) == {kind}, [finding.line() for finding in findings.values()]
    found = findings[kind]
    assert (found.severity, found.fixable) == (severity, fixable)
    line = found.line(root)
    assert line.startswith(f'bear/{file}')
    assert told in line
    assert '; ' in line
    assert '\n' not in line


@pytest.mark.parametrize(('make', 'kinds'), [(_rgb_beside_ids, {'colour-mask', 'mixed-masks'}),
                                             (_soft_beside_ids, {'soft-mask', 'mixed-masks'})])
def test_other_kinds_beside_ids_are_not_guessed(root, make, kinds):
    make(root)
    findings = check(root)
    assert set(findings) == kinds
    assert not any(finding.fixable for finding in findings.values())


def test_files_with_one_finding_are_one_line(root):
    _rgb(root)
    found = check(root)['colour-mask']
    assert [path.name for path in found.others] == [f'{index:05d}.png' for index in range(1, 5)]
    assert '(and 4 more)' in found.line()


def test_a_message_of_two_lines_becomes_one(tmp_path):
    assert Finding('x', tmp_path, 'a\n  b', 'c', 'note').line() == f'{tmp_path}: a b; c'


def test_loops_and_stills_of_other_frames_are_no_duplicates(tmp_path):
    make_video(tmp_path / 'bear', frames=FRAMES[[0, 1, 0, 1, 2]])
    assert check(tmp_path) == {}


def test_masks_that_are_empty_are_of_every_kind(root):
    _black_and_white(root)
    save(root, 2, LABELS[2] * 0)
    assert set(check(root)) == {'black-and-white'}


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(['L', 'P', 'LA', 'RGB', '1', 'I;16']),
       st.sampled_from([(0, 1, 2), (0, 255), (0, 1, 255), (0,), (0, 300), tuple(range(256))]))
def test_reading_refuses_exactly_what_is_an_error(tmp_path_factory, seed, mode, values):
    """`read_mask` is the oracle: it must read what has no error, and refuse what has one."""
    folder = tmp_path_factory.mktemp('masks')
    rng = np.random.default_rng(seed)
    values = rng.choice(np.array(values), (12, 14)).repeat(rng.integers(1, 5), axis=1)
    if mode == 'I;16':
        image = Image.fromarray(values.astype(np.uint16))
    else:
        image = Image.fromarray(values.astype(np.uint8))
        image = image if mode == 'L' else image.convert(mode)
    image.save(folder / '0.png')
    findings = check_video(VideoFiles('a', None, folder, masks_only=True)).findings
    errors = [f for f in findings if f.severity == 'error' and f.kind != 'empty-first-mask']
    try:
        read_mask(folder / '0.png')
    except InputError:
        assert errors
    else:
        assert not errors


# --- the repaired copy

def repair(root, out):
    """Write a copy; returns its label maps, their files and what is still wrong."""
    write_repaired_copy(root, out, list(check_dataset(find_layout(root))))
    paths = sorted((out / 'bear/masks').iterdir())
    return {path.name: decode_mask(path.read_bytes()) for path in paths
            if path.suffix == '.png'}, paths, check(out)


@pytest.mark.parametrize('case', DEFECTS, ids=[case[0].__name__[1:] for case in DEFECTS])
def test_what_can_be_repaired_is_repaired_and_the_rest_stays(root, tmp_path, case):
    make, kind, _, _, fixable, _ = case
    make(root)
    if kind in ('unreadable-mask', 'no-masks'):
        write_repaired_copy(root, tmp_path / 'out', list(check_dataset(find_layout(root))))
        assert set(check(tmp_path / 'out')) == {kind}
        return
    _, paths, left = repair(root, tmp_path / 'out')
    assert set(left) == (set() if fixable else {kind})
    assert not any(finding.fixable for finding in left.values())
    if fixable:
        for path in paths:
            with Image.open(path) as image:
                assert image.mode == 'P'
                assert image.getpalette() == list(palette())


@pytest.mark.parametrize(('make', 'expected'), [
    (_rgb, LABELS), (_black_and_white, LABELS > 0), (_some_black_and_white, LABELS > 0),
    (_opaque, LABELS), (_deep, LABELS), (_void, None), (_gap, LABELS * 3),
    (_soft, np.broadcast_to(SOFT >= 128, LABELS.shape)), (_jpegs_of_one_object, LABELS == 1)])
def test_repaired_masks_hold_the_objects(root, tmp_path, make, expected):
    make(root)
    if expected is None:  # void stays void
        expected = LABELS.copy()
        expected[2][LABELS[2] == 2] = 255
    labels, _, _ = repair(root, tmp_path / 'out')
    assert np.array_equal(np.stack(list(labels.values())), expected)


def test_other_colours_are_numbered_as_they_appear_over_the_whole_video(root, tmp_path):
    table = np.array([(0, 0, 0), (10, 250, 30), (240, 20, 90), (200, 200, 210)], np.uint8)
    first, later = LABELS[0] % 2, np.where(LABELS == 0, 0, LABELS + 1)  # 1; then 2 and 3
    first[20:30, 2:12] = 3 * (first[20:30, 2:12] == 0)
    maps = [first, *later[1:]]
    for index, ids in enumerate(maps):
        save(root, index, table[ids])
    assert '#0afa1e would be 1' in check(root)['colour-mask'].message or (
        '#0afa1e would be 2' in check(root)['colour-mask'].message)
    labels, _, left = repair(root, tmp_path / 'out')
    assert 'colour-mask' not in left
    # one colour, one id, in all masks, and another colour another id
    pairs = {(int(a), int(b)) for ids, out in zip(maps, labels.values(), strict=True)
             for a, b in zip(ids.ravel(), out.ravel(), strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) == 4
    assert (0, 0) in pairs
    assert {b for a, b in pairs if a in (1, 3)} == {1, 2}  # the two of the first mask
    assert (2, 3) in pairs


def test_anti_aliased_colours_go_to_the_nearer_one(root, tmp_path):
    big = np.zeros((32, 40, 3), np.uint8)
    big[6:26, 8:30] = (120, 10, 5)
    big[8:24, 10:28] = (240, 20, 10)
    save_all(root, lambda ids: big)
    labels, _, left = repair(root, tmp_path / 'out')
    assert 'colour-mask' not in left
    one = labels['00000.png']
    assert (one[8:24, 10:28] == 1).all()
    assert set(np.unique(one)) == {0, 1}


def test_too_many_colours_are_left_alone(root, tmp_path):
    save_all(root, lambda ids: FRAMES[0])
    assert not check(root)['colour-mask'].fixable
    write_repaired_copy(root, tmp_path / 'out', list(check_dataset(find_layout(root))))
    assert read_bytes(tmp_path / 'out/bear/masks') == read_bytes(root / 'bear/masks')


def test_grey_ids_stored_as_rgb_keep_their_numbers(root, tmp_path):
    save_all(root, lambda ids: np.repeat(ids[..., None], 3, axis=2))
    labels, _, left = repair(root, tmp_path / 'out')
    assert left == {}
    assert np.array_equal(np.stack(list(labels.values())), LABELS)


@pytest.mark.parametrize(('change', 'expected'), [
    (lambda ids: ids[:-1], lambda ids: np.concatenate([ids[:-1], ids[-2:-1]])),
    (lambda ids: ids[:, :-2], lambda ids: np.concatenate([ids[:, :-2], ids[:, [-3, -3]]], 1)),
    (lambda ids: np.pad(ids, ((0, 2), (0, 1)), constant_values=2), lambda ids: ids)])
def test_sizes_are_repaired_as_reading_does(root, tmp_path, change, expected):
    path = save(root, 2, change(LABELS[2]))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter('always')
        labels, _, left = repair(root, tmp_path / 'out')
    assert [str(w.message) for w in told] == []
    assert left == {}
    assert np.array_equal(labels['00002.png'], expected(LABELS[2]))
    with pytest.warns(UserWarning, match='cropped or extended'):
        assert np.array_equal(labels['00002.png'], read_mask(path, (32, 40)))


def test_the_mask_of_a_broken_frame_gets_the_usual_size(root, tmp_path):
    _narrow(root)
    _cut_frame(root)
    assert check(root)['mask-size'].fixable
    labels, _, left = repair(root, tmp_path / 'out')
    assert labels['00002.png'].shape == LABELS[2].shape
    assert set(left) == {'unreadable-frame'}


def test_links_that_lead_nowhere_are_left_out(root, tmp_path):
    os.symlink(tmp_path / 'gone', root / 'bear/dangling')
    assert repair(root, tmp_path / 'out')[2] == {}
    assert not (tmp_path / 'out/bear/dangling').is_symlink()


def read_bytes(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_everything_else_is_copied_and_the_dataset_is_not_touched(root, tmp_path):
    _rgb(root)
    (root / 'meta.json').write_text(json.dumps({'a': 1}))
    (root / 'bear/masks/notes.txt').write_text('hello')
    before = read_bytes(root / 'bear/masks'), read_bytes(root / 'bear/frames')
    counts = write_repaired_copy(root, tmp_path / 'out', list(check_dataset(find_layout(root))))
    assert counts == (5, 7)
    assert (read_bytes(root / 'bear/masks'), read_bytes(root / 'bear/frames')) == before
    assert read_bytes(tmp_path / 'out/bear/frames') == before[1]
    assert (tmp_path / 'out/bear/masks/notes.txt').read_text() == 'hello'
    assert (tmp_path / 'out/meta.json').read_text() == '{"a": 1}'
    assert sorted(path.name for path in tmp_path.iterdir()) == ['data', 'out']


def test_linked_folders_are_followed_but_not_in_circles(root, tmp_path):
    (root / 'bear/frames').rename(tmp_path / 'elsewhere')
    os.symlink(tmp_path / 'elsewhere', root / 'bear/frames')
    os.symlink(root, root / 'bear/circle')
    _, _, left = repair(root, tmp_path / 'out')
    assert left == {}
    assert len(list((tmp_path / 'out/bear/frames').iterdir())) == 5
    assert not (tmp_path / 'out/bear/circle').exists()


def test_copies_where_links_are_refused(root, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, 'Invalid cross-device link')
    monkeypatch.setattr(os, 'link', refuse)
    assert repair(root, tmp_path / 'out')[2] == {}
    assert read_bytes(tmp_path / 'out/bear/frames') == read_bytes(root / 'bear/frames')


def test_outputs_that_are_refused(root, tmp_path):
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full/file').touch()
    for out, told in ((root / 'out', 'inside'), (root, 'inside'), (tmp_path / 'full', 'exists'),
                      (tmp_path / 'full/file', 'exists')):
        with pytest.raises(InputError, match=told):
            check_output(out, root)
    (tmp_path / 'empty').mkdir()
    check_output(tmp_path / 'empty', root)
    check_output(tmp_path / 'new', root)


def test_a_failed_copy_leaves_nothing(root, tmp_path):
    reports = list(check_dataset(find_layout(root)))
    (root / 'bear/masks/00003.png').write_bytes(b'changed meanwhile')
    with pytest.raises(InputError, match=r'00003\.png'):
        write_repaired_copy(root, tmp_path / 'out', reports)
    assert [path.name for path in tmp_path.iterdir()] == ['data']


# --- what the datasets refuse

@pytest.mark.parametrize(('make', 'told'), [
    (lambda root: cut(root / 'bear/frames/00000.png'), r'frames/00000\.png: cannot be read'),
    (lambda root: cut(root / 'bear/masks/00000.png'), r'masks/00000\.png: cannot be read'),
    (_empty_first, 'no object'), (_without_frame, r'00009\.png: has the name of no frame'),
    (lambda root: save(root, 0, LABELS[0, 3:]), r'40x29 .* its frame is 40x32'),
    (lambda root: save(root, 0, SOFT), 'anti-aliased'),
    (lambda root: save(root, 0, rgb(LABELS[0])), 'RGB image')])
def test_a_broken_start_is_refused_in_one_line(root, make, told):
    folders = root / 'bear/frames', root / 'bear/masks'
    refuse_broken_start(*folders, '00000')
    make(root)
    with pytest.raises(InputError, match=told) as error:
        refuse_broken_start(*folders, '00000')
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('make', [_narrow, _cut_frame, _cut_mask, _black_and_white, _gap])
def test_a_start_that_can_be_used_is_not_refused(root, make):
    """Later files are not read, and what reading repairs is no error."""
    make(root)
    save(root, 0, LABELS[0, 2:, 1:])
    refuse_broken_start(root / 'bear/frames', root / 'bear/masks', '00000')
