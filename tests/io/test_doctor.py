"""The mask doctor: a sound video has no findings, and every defect that is made is found.

The oracles: the defect that the test makes, and `read_mask`, which must refuse what is called an
error and read what is not.
"""

import numpy as np
import pytest
from doctor_defects import (
    DEFECTS,
    FRAMES,
    LABELS,
    SOFT,
    _black_and_white,
    _cut_frame,
    _cut_mask,
    _empty_first,
    _gap,
    _narrow,
    _rgb,
    _rgb_beside_ids,
    _soft_beside_ids,
    _without_frame,
    check,
    cut,
    make_video,
    rgb,
    save,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmvos.io import InputError, read_mask
from mmvos.io.doctor import (
    Finding,
    VideoFiles,
    check_video,
    refuse_broken_start,
)


def test_a_sound_video_has_no_findings(root):
    assert check(root) == {}


@pytest.mark.parametrize('labels', [LABELS[:1], LABELS[:2]])
def test_masks_on_the_first_frames_only_are_sound(tmp_path, labels):
    make_video(tmp_path / 'bear', labels)
    assert check(tmp_path) == {}

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
