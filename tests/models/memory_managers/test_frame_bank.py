"""Which frames a read sees, against the tables of the released code."""
import json

import pytest
import torch

from mmvos.models import FrameBank

DAVIS = {1: [0], 2: [0, 1], 3: [0, 2], 4: [0, 1, 3], 5: [0, 2, 4], 6: [0, 1, 3, 5],
         7: [0, 2, 4, 5, 6], 8: [0, 3, 5, 7], 9: [0, 4, 5, 6, 8], 10: [0, 5, 7, 9],
         11: [0, 5, 6, 8, 10], 12: [0, 5, 7, 9, 11], 100: [0, 5, 95, 97, 99]}


def run(bank, steps, annotated=(0,), first=0, size=(2, 2)):
    """Indices read at every frame, counted from the first memorised one."""
    seen = {}
    for t in range(steps + 1):
        if t:
            seen[t] = [index - first for index in bank.indices(first + t)]
        bank.add(first + t, shared=dict(key=torch.full((1, 1, *size), float(t))),
                 objects=dict(label=torch.zeros(1, 1, 1, *size)), permanent=t in annotated)
    return seen


@pytest.mark.parametrize('first', [0, 7])
def test_davis_table(first):
    seen = run(FrameBank((0, 5), 3, gap=2), 100, first=first)
    assert {t: seen[t] for t in DAVIS} == DAVIS


@pytest.mark.parametrize(('annotated', 'expected'), [
    ((0,), {1: [0], 6: [0, 1, 3, 5], 12: [0, 7, 9, 11]}),
    ((0, 4), {5: [0, 2, 4], 7: [0, 2, 4, 6], 9: [0, 4, 6, 8]}),
    ((0, 1, 2, 3), {8: [0, 1, 2, 3, 7]}),
    ((0, 4, 6, 11), {12: [0, 4, 6, 11]})])
def test_youtube_rule(annotated, expected):
    seen = run(FrameBank(recent=4, gap=2, max_items=4), 12, annotated)
    assert {t: seen[t] for t in expected} == expected


@pytest.mark.parametrize('first', [0, 7])
def test_fifo_table(first):
    """STMA's spatial memory: the first frame for ever and the two newest of every third."""
    bank = FrameBank(recent=0, every=3, newest=2)
    seen = run(bank, 100, first=first)
    assert {t: seen[t] for t in (1, 4, 10, 12, 13)} == {
        1: [0], 4: [0, 3], 10: [0, 6, 9], 12: [0, 6, 9], 13: [0, 9, 12]}
    assert len(bank.items) == 3
    for wrong in (dict(newest=2), dict(newest=0, every=3)):
        with pytest.raises(ValueError, match='newest should be 1 or more and needs every'):
            FrameBank(**wrong)


def test_short_term_only_forgets_the_annotation():
    seen = run(FrameBank(recent=3, gap=2, annotated=False), 9)
    assert seen[1] == [0]
    assert seen[9] == [4, 6, 8]


def test_memory_stays_bounded():
    bank = FrameBank((0, 5), 3, gap=2)
    run(bank, 200)
    assert len(bank.items) == 7  # 0, 5 and the last five


def test_read_stacks_in_order():
    bank = FrameBank((0, 5), 3, gap=2)
    run(bank, 12)
    assert bank.read('key', 13).shape == (1, 1, 5, 2, 2)
    assert bank.read('key', 13)[0, 0, :, 0, 0].tolist() == [0, 5, 8, 10, 12]
    assert bank.read('label', 13).shape == (1, 1, 1, 5, 2, 2)


def test_limit_evicts_the_oldest_and_names_the_option():
    one = (4 + 4) * 64 * 64
    bank = FrameBank((0,), 8, max_memory_mb=4 * one / 2**20)
    run(bank, 9, size=(64, 64))
    assert sorted(bank.items) == [0, 7, 8, 9]
    bank = FrameBank((0,), 8, max_memory_mb=one / 2**21)
    with pytest.raises(ValueError, match='max_memory_mb'):
        run(bank, 1, size=(64, 64))


def test_grow_and_drop():
    bank = FrameBank()
    bank.add(0, objects=dict(label=torch.ones(1, 2, 1, 3, 3)))
    bank.grow(4)
    assert bank.read('label', 1)[0, :, 0, 0, 0, 0].tolist() == [1, 1, 0, 0]
    bank.drop([0, 2])
    assert bank.read('label', 1)[0, :, 0, 0, 0, 0].tolist() == [1, 0]


def test_nothing_to_read_is_refused():
    with pytest.raises(ValueError, match='second frame'):
        FrameBank((5,), 0, annotated=False)


def test_a_frame_is_kept_as_long_as_an_object_that_it_introduced():
    """Objects 0 and 1 come with frame 0, 2 with frame 1 and 3 with frame 3; a bool is for ever."""
    bank, new = FrameBank(recent=0, every=100), [[[1, 1]], [[0, 0, 1]], [[0, 0, 0]],
                                                 [[0, 0, 0, 1]], True]
    for index, permanent in enumerate(new):
        bank.add(10 + index, shared=dict(key=torch.zeros(1, 2, 3, 4)),
                 permanent=torch.tensor(permanent) > 0)
    bank.start = 0  # so that frame 10 is no n-th frame
    copy = FrameBank(recent=0, every=100)
    copy.restore(bank.tensors(), json.loads(json.dumps(bank.facts())))
    for gone, kept in (([0], [10, 11, 13, 14]), ([1], [10, 13, 14]), ([0], [13, 14]),
                       ([0], [14])):
        for one in (bank, copy):
            one.drop(gone)
            assert sorted(one.items) == one.indices(15) == kept
    assert bank.nbytes() == 4 * 2 * 3 * 4


def test_a_thousand_frames_with_objects_at_random():
    """STMA's spatial memory: every first frame, the newest n-th one, and nothing else."""
    rng = torch.Generator().manual_seed(0)
    bank, first = FrameBank(recent=0, every=3, newest=1), [0]
    for now in range(1000):
        if now and torch.rand((), generator=rng) < 0.02:
            first.append(now)
        bank.add(now, shared=dict(key=torch.zeros(1, 1, 1, 1)), permanent=now in first)
        assert sorted(bank.items) == bank.indices(now + 1) == sorted({*first, now // 3 * 3})
    assert len(first) > 15
