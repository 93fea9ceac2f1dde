"""STM and MUNet with the adaptive bank keep the contracts; all banks keep to their limits."""
import numpy as np
import pytest
import torch

from mmvos.io import InputError
from mmvos.models import STM, MUNet
from mmvos.structures import Frame, VOSDataSample
from mmvos.testing.construction_contracts import build
from mmvos.testing.fakes import FakeVideo, fake_frames
from mmvos.testing.segmentor_contracts import SEGMENTOR

# a frame of these videos has 9 cells: an object of three keeps its first mask and 11 elements
ADAPTIVE = dict(memory=dict(type='AdaptiveBank', budget=60, similarity=0.99),
                matching_head=dict(type='GlobalMatching', count_above=1e-3))


class AdaptiveSTM(STM):
    example = {**STM.example, **ADAPTIVE}


class AdaptiveMUNet(MUNet):
    example = {**MUNet.example, **ADAPTIVE}


def scattered(cls, **changes):
    """A model whose keys differ: mmseg's residual blocks begin as identities."""
    model = build(cls, **changes)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.3, 0.3)
    return model


@pytest.mark.parametrize('check', SEGMENTOR, ids=lambda check: check.__name__)
@pytest.mark.parametrize('cls', [AdaptiveSTM, AdaptiveMUNet])
def test_contract(cls, check):
    check(cls)


def play(session, video, length):
    given = video.given
    for index in range(length):
        session.step(video.read(index), given.get(index))
        yield session.state.banks['memory']


@pytest.mark.parametrize('memory', [
    dict(type='AdaptiveBank', similarity=2), dict(type='FrameBank', every=1),
    dict(type='UsageBank', every=1)])
def test_memory_is_within_its_limit(memory):
    """40 frames, nothing merged, objects at three times: the bytes that `nbytes` counts."""
    video = FakeVideo(40, starts=(0, 3, 20))
    *_, bank = play(scattered(AdaptiveSTM, memory=memory).session(), video, 40)
    limit = bank.nbytes() / 3 / 2**20
    session = scattered(AdaptiveSTM, memory=dict(memory, max_memory_mb=limit)).session()
    sizes = [bank.nbytes() for bank in play(session, video, 40)]
    assert 0.9 * limit * 2**20 < max(sizes) <= limit * 2**20
    bank = session.state.banks['memory']
    if memory['type'] == 'FrameBank':
        assert {0, 3, 20} <= set(bank.items)
    else:
        kept = bank.objects['exists'] & bank.objects['permanent']
        assert kept.sum(-1).flatten().tolist() == [9, 9, 9]


def test_budget_is_shared_by_the_objects():
    video = FakeVideo(30, starts=(0, 10, 12))
    model = scattered(AdaptiveSTM, memory=dict(ADAPTIVE['memory'], similarity=2))
    for index, bank in enumerate(play(model.session(), video, 30)):
        share = 60 // (1 + (index >= 10) + (index >= 12))
        found = bank.objects['exists'].sum(-1).flatten().tolist()
        assert max(found) <= share
    assert found == [20, 20, 20]


@torch.no_grad()
def test_permuted_objects_give_permuted_masks():
    model = scattered(AdaptiveSTM)
    frames = list(fake_frames([FakeVideo(8, (32, 48), starts=(0, 0, 0))], 16))
    order, first = [2, 0, 1], frames[0]
    runs, states = [], []
    for start in (first, Frame(0, first.image, first.masks[:, order], first.given[:, order])):
        states.append(model.init_state(None))
        runs.append([model.step(frame, states[-1]) for frame in [start, *(
            Frame(frame.index, frame.image) for frame in frames[1:])]])
    for plain, permuted in zip(*runs, strict=True):
        expected = torch.cat([plain[:, :1], plain[:, 1:][:, order]], 1)
        torch.testing.assert_close(permuted, expected, rtol=0, atol=1e-4)
    plain, permuted = (state.banks['memory'].objects for state in states)
    assert plain['exists'].sum() < 8 * 3 * 6, 'nothing was merged or forgotten'
    for name, tensor in plain.items():
        torch.testing.assert_close(permuted[name], tensor[:, order], rtol=0, atol=1e-4)


@torch.no_grad()
def test_a_late_object_has_no_older_elements():
    model = scattered(AdaptiveSTM)
    state = model.init_state(None)
    for frame in fake_frames([FakeVideo(6, (32, 48), starts=(0, 2))], 16):
        model.step(frame, state)
    bank = state.banks['memory'].objects
    created = [bank['created'][0, k, 0][bank['exists'][0, k, 0]] for k in range(2)]
    kept = [(created[k][bank['permanent'][0, k, 0][bank['exists'][0, k, 0]]]).unique().tolist()
            for k in range(2)]
    assert created[0].min() == 0
    assert created[1].min() == 2
    assert kept == [[0], [2]]  # each its own first mask, not what was predicted beside it


@torch.no_grad()
def test_a_late_object_of_one_sample_is_kept_although_another_sample_had_as_many():
    model = scattered(AdaptiveSTM)
    state = model.init_state(None)
    for frame in fake_frames([FakeVideo(6, (32, 48), starts=(0, 0)),
                              FakeVideo(6, (32, 48), starts=(0, 3), seed=1)], 16):
        model.step(frame, state)
        if frame.index == 3:
            assert frame.introduced.tolist() == [[False, False], [False, True]]
    bank = state.banks['memory'].objects
    kept = bank['exists'] & bank['permanent']
    created = [[bank['created'][b, k][kept[b, k]].unique().tolist() for k in range(2)]
               for b in range(2)]
    assert created == [[[0], [0]], [[0], [3]]]


@torch.no_grad()
def test_what_was_read_is_counted():
    """Queries with more than a thousandth of their attention on an element, by the equations."""
    model = scattered(AdaptiveSTM)
    frames = list(fake_frames([FakeVideo(2, (32, 48), starts=(0, 0))], 16))
    state = model.init_state(None)
    model.step(frames[0], state)
    bank = state.banks['memory']
    model.query_kv.key.weight *= 100  # attention to some elements only
    query, _ = model.query(frames[1], state)
    weights = (bank.objects['key'].mT @ query.flatten(2)[:, None] / query.shape[1]**0.5).softmax(2)
    expected = ((weights > 1e-3).sum(-1) + 1.).log()
    first = bank.objects['created'].clone()
    model.step(frames[1], state)
    found = bank.objects['usage'][:, :, 0, :first.shape[-1]]  # permanent ones stay in front
    torch.testing.assert_close(found, expected)
    assert expected.std() > 0.1


@torch.no_grad()
def test_a_bank_that_never_merges_reads_as_one_of_every_frame():
    """Softmax over the same elements in another order; the second object comes late."""
    runs = []
    for memory in (dict(type='AdaptiveBank', similarity=2), dict(type='FrameBank', every=1)):
        model = scattered(AdaptiveSTM, memory=memory)
        state = model.init_state(None)
        frames = fake_frames([FakeVideo(6, (32, 48), starts=(0, 2))], 16)
        runs.append([model.step(frame, state) for frame in frames])
    assert runs[0][-1].std() > 0.01
    for one, other in zip(*runs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_training_through_merged_and_forgotten_elements():
    video = FakeVideo(5, (32, 48), starts=(0, 0))
    model = scattered(AdaptiveSTM, memory=dict(type='AdaptiveBank', budget=16)).train()
    clip = torch.stack([frame.image for frame in fake_frames([video])], 1)
    sample = VOSDataSample(metainfo=dict(video_name=video.name))
    sample.gt_masks = torch.from_numpy(np.stack([video.labels(t) for t in range(5)]))
    model.loss(clip, [sample])['loss'].backward()
    bad = [name for name, parameter in model.named_parameters()
           if parameter.grad is None or not parameter.grad.isfinite().all()]
    assert not bad
    assert model.memory_kv.value.weight.grad.any()


def test_a_session_of_another_memory_is_refused(tmp_path):
    video = FakeVideo(2)
    for mine, other in ((AdaptiveSTM, dict(type='FrameBank')), (STM, ADAPTIVE['memory'])):
        session = build(mine).session()
        list(play(session, video, 2))
        session.save(tmp_path / 'session')
        with pytest.raises(InputError, match='is no saved session'):
            build(mine, memory=other).session().load(tmp_path / 'session')
