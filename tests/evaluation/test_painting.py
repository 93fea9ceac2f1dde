"""Painting the slots of a zero-shot method: pictures of a few pixels, by hand."""
import numpy as np
import pytest

from mmvos.evaluation.functional import paint_slots


def slots(*rows):
    """(P,T,1,W) of strings, one per slot and frame: '#' is covered."""
    return np.array([[[[.9 if c == '#' else .1 for c in frame]] for frame in slot]
                     for slot in rows])


def ids(text):
    return np.array([[int(c) for c in text]], np.uint8)


def text(painted):
    return [''.join(map(str, frame[0])) for frame in painted]


def test_the_best_wins_overlaps():
    """Object 7 fits slot 1 wholly, object 3 fits slot 0 by two pixels of three."""
    probs = slots(('##....', '####..'), ('...##.', '..###.'))
    assert text(paint_slots(probs, {0: ids('333770')})) == ['333770', '337770']
    # the other way round: object 7 now has the better first frame
    probs = slots(('###...', '####..'), ('....#.', '..###.'))
    assert text(paint_slots(probs, {0: ids('333770')})) == ['333770', '333370']


def test_slots_are_assigned_together():
    """Both objects fit slot 0 best (3/4 and 1/4); 2/3 + 1/4 is more than 3/4 + 0."""
    probs = slots(('####..', '....##'), ('##....', '#.....'))
    assert text(paint_slots(probs, {0: ids('111200')})) == ['111200', '100022']


def test_a_later_object_takes_a_free_slot():
    """Slot 0 fits object 2 better, but belongs to object 1 already."""
    probs = slots(('##....', '##....', '##....'), ('......', '.###..', '..##..'))
    found = paint_slots(probs, {0: ids('110000'), 1: ids('022000')})
    assert text(found) == ['110000', '122000', '112200']


def test_more_objects_than_slots():
    """The one that is left over is seen where it is given."""
    probs = slots(('##....', '##....'))
    assert text(paint_slots(probs, {0: ids('110022')})) == ['110022', '110000']


def test_nothing_is_given():
    assert not paint_slots(slots(('##', '##')), {}).any()


def test_wrong_shapes():
    with pytest.raises(ValueError, match=r'frames 0 to 1, got \(1, 3\) for frame 0'):
        paint_slots(slots(('##', '##')), {0: ids('110')})
    with pytest.raises(ValueError, match='for frame 2'):
        paint_slots(slots(('##', '##')), {2: ids('11')})
    with pytest.raises(ValueError, match=r'\(P,T,H,W\), got \(2, 2\)'):
        paint_slots(np.zeros((2, 2)), {})
