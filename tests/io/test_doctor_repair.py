"""The repaired copy: what is certain is mended, the rest stays; `read_mask` is the oracle."""
import json
import os
import warnings

import numpy as np
import pytest
from doctor_defects import (
    DEFECTS,
    FRAMES,
    LABELS,
    SOFT,
    _black_and_white,
    _cut_frame,
    _deep,
    _gap,
    _jpegs_of_one_object,
    _narrow,
    _opaque,
    _rgb,
    _soft,
    _some_black_and_white,
    _void,
    check,
    save,
    save_all,
)
from PIL import Image

from mmvos.io import InputError, decode_mask, palette, read_mask
from mmvos.io.doctor import (
    check_dataset,
    check_output,
    find_layout,
    write_repaired_copy,
)


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
