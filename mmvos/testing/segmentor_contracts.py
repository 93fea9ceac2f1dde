"""What holds for every `VideoSegmentor`, on tiny videos."""
from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from contextlib import suppress
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..io import decode_mask
from ..models.segmentors import VideoSegmentor, VOSSession
from ..structures import Frame, VideoState, VOSDataSample
from .construction_contracts import build
from .fakes import FakeVideo, fake_frames


def _frames(model: VideoSegmentor, *videos: FakeVideo) -> list[Frame]:
    return list(fake_frames(videos, model.geometry.divisor))


@torch.no_grad()
def _run(model: VideoSegmentor, frames: Sequence[Frame], state: VideoState | None = None
         ) -> tuple[list[Tensor], VideoState]:
    """Probabilities of every frame and the state after the last."""
    state = model.init_state(None) if state is None else state
    return [model.step(frame, state) for frame in frames], state


def check_loss(cls: type) -> None:
    """Every trainable parameter gets a finite gradient from a batch of two clips."""
    model = build(cls).train()
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trainable:
        return
    videos = [FakeVideo(2, (32, 48), seed=seed) for seed in range(2)]
    clips = torch.stack([frame.image for frame in fake_frames(videos)], 1)
    samples = [VOSDataSample(metainfo=dict(video_name=video.name)) for video in videos]
    for video, sample in zip(videos, samples, strict=True):
        sample.gt_masks = torch.from_numpy(np.stack([video.labels(t) for t in range(2)]))
    torch.manual_seed(0)
    total, _ = model.parse_losses(model(clips, samples, mode='loss'))
    assert torch.isfinite(total), f'the loss is {total}'
    total.backward()
    bad = [name for name, p in trainable.items()
           if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not bad, f'no finite gradient for {", ".join(bad)}'
    assert any(p.grad.any() for p in trainable.values()), 'every gradient is zero'


def check_step(cls: type) -> None:
    """One and three objects: distributions (B,K+1,H,W), the given masks first, nothing on self."""
    for count in (1, 3):
        model = build(cls)
        frames = _frames(model, FakeVideo(starts=(0,) * count))
        outputs, _ = _run(model, frames)
        for frame, probs in zip(frames, outputs, strict=True):
            assert probs.shape == (1, count + 1, *frame.image.shape[-2:]), tuple(probs.shape)
            assert torch.isfinite(probs).all(), f'frame {frame.index} is not finite'
            assert (probs.sum(1) - 1).abs().max() < 1e-4, f'frame {frame.index}: no distribution'
        assert (outputs[0][:, 1:] == frames[0].masks).all(), 'the first frame is not the given mask'


def check_segment_reads_only(cls: type) -> None:
    """`segment` leaves the state as it is, and gives the same twice."""
    model = build(cls)
    frames = _frames(model, FakeVideo(3, starts=(0, 0)))
    _, state = _run(model, frames[:2])
    before = pickle.dumps(state)
    with torch.no_grad():
        first = model.segment(frames[2], state)
        again = model.segment(Frame(2, frames[2].image), state)
    assert pickle.dumps(state) == before, 'segment wrote the state'
    assert torch.equal(first, again), 'segment gives something else the second time'


def check_state_is_whole(cls: type) -> None:
    """A copy of the state goes on in another instance with the same weights, bitwise the same."""
    video = FakeVideo(5, starts=(0, 1))
    model, other = build(cls), build(cls)
    expected, _ = _run(model, _frames(model, video))
    _, state = _run(model, _frames(model, video)[:3])
    state = pickle.loads(pickle.dumps(state))
    outputs, _ = _run(other, _frames(other, video)[3:], state)
    same = all(map(torch.equal, expected[3:], outputs))
    assert same, 'something of the video is not in its state'


def check_saved_session(cls: type) -> None:
    """Saved in the middle of a video and loaded beside another instance, it goes on the same."""
    video = FakeVideo(6, starts=(0, 2))
    session, other = build(cls).session(), build(cls).session()
    for index in range(3):
        session.step(*_item(video, index))
    with TemporaryDirectory() as folder:
        session.save(f'{folder}/session.safetensors')
        other.load(f'{folder}/session.safetensors')
    assert other.state.nbytes() == session.state.nbytes(), 'the saved state is of another size'
    for index in range(3, 6):
        labels = [one.step(*_item(video, index)) for one in (session, other)]
        assert np.array_equal(*labels), f'frame {index} differs after loading'


def check_removed_object(cls: type) -> None:
    """A removed object is not predicted any more, and its memory is freed."""
    model, video = build(cls), FakeVideo(6, starts=(0, 0, 0))
    session = model.session()
    for index in range(3):
        session.step(*_item(video, index))
    before, held = _object_tensors(session.state), session.state.nbytes()
    session.remove([2])
    assert session.state.nbytes() < held, 'removing an object freed nothing'
    for name, tensor in _object_tensors(session.state).items():
        assert torch.equal(tensor, before[name][:, [0, 2]]), f'{name}: another object was removed'
    for index in range(3, 6):
        found = set(np.unique(session.step(video.read(index))).tolist())
        assert found <= {0, 1, 3}, f'frame {index}: ids {found}'


def check_failed_step(cls: type) -> None:
    """A step that fails after it memorised leaves the session as it was, and can be taken again."""
    model, video = build(cls), FakeVideo(5, starts=(0, 2))
    session, plain, memorize = model.session(), build(cls).session(), model.memorize

    def fail(*args: Any) -> None:
        memorize(*args)
        raise InterruptedError

    for index in range(5):
        model.memorize = fail
        with suppress(InterruptedError):
            session.step(*_item(video, index))
        model.memorize = memorize
        labels = [one.step(*_item(video, index)) for one in (session, plain)]
        assert np.array_equal(*labels), f'frame {index} differs when it is given again'
    found, expected = (one.state.tensors() for one in (session, plain))
    same = found.keys() == expected.keys() and all(
        torch.equal(tensor, expected[name]) for name, tensor in found.items())
    assert same, 'a step that failed left something behind: a tensor of the state was written'


def check_interleaved(cls: type) -> None:
    """Two sessions in turn give bitwise what one after the other gives."""
    model = build(cls)
    videos = [FakeVideo(4, starts=(0, 0), seed=1), FakeVideo(4, (41, 35), starts=(0, 2), seed=2)]
    alone = [[session.step(*_item(video, index)) for index in range(4)]
             for video in videos for session in [model.session()]]
    sessions = [model.session() for _ in videos]
    turns = [[session.step(*_item(video, index))
              for session, video in zip(sessions, videos, strict=True)] for index in range(4)]
    for number, labels in enumerate(alone):
        for index in range(4):
            assert np.array_equal(labels[index], turns[index][number]), \
                f'video {number} differs at frame {index}'


def check_session(cls: type) -> None:
    """Odd sizes and a late object: native size, only known ids, given pixels unchanged."""
    model, video = build(cls), FakeVideo(6, starts=(1, 3))
    session = model.session()
    for index in range(len(video)):
        labels = session.step(*_item(video, index))
        assert labels.shape == video.size, f'{labels.shape} instead of {video.size}'
        assert labels.dtype == np.uint8, f'{labels.dtype} instead of uint8'
        known = {0, *(k for k, start in enumerate(video.starts, 1) if start <= index)}
        found = set(np.unique(labels).tolist())
        assert found <= known, f'frame {index}: ids {found - known}'
        if index in video.starts:
            given = video.given.read(index)
            assert (labels[given > 0] == given[given > 0]).all(), 'given pixels changed'


def check_maps(cls: type) -> None:
    """Maps are those that are stated, of native size and bounded; keeping them changes no mask."""
    model, video = build(cls), FakeVideo(3, (33, 47), starts=(0, 0))
    if not model.map_names:
        return
    plain, session = model.session(), model.session(keep_maps=True)
    for index in range(3):
        labels = [one.step(*_item(video, index)) for one in (plain, session)]
        assert np.array_equal(*labels), 'keeping maps changes the masks'
        assert set(session.maps) <= set(model.map_names), f'unknown maps in {set(session.maps)}'
        for name, values in session.maps.items():
            assert values.shape in ((33, 47, 1), (33, 47, 2)), f'{name}: {values.shape}'
            low = 0 if values.shape[2] == 1 else -1
            assert low <= values.min() <= values.max() <= 1, f'{name} lies outside of {low} to 1'
    assert set(session.maps) == set(model.map_names), 'the last frame lacks a map'


def check_one_frame(cls: type) -> None:
    """A video of one frame: its PNG is the given mask."""
    model, video = build(cls), FakeVideo(1, starts=(0, 0, 0))
    sample = VOSDataSample(metainfo=dict(video_name=video.name, frame_names=video.frame_names,
                                         given=video.given, truth=None))
    (sample,) = model([video], [sample], mode='predict')
    assert len(sample.pred_masks) == 1, f'{len(sample.pred_masks)} PNGs for one frame'
    assert np.array_equal(decode_mask(sample.pred_masks[0]), video.labels(0)), 'not the given mask'


def check_batch(cls: type) -> None:
    """In a batch, a video with one object and one with three get what they get alone."""
    model = build(cls)
    videos = [FakeVideo(starts=(0,), seed=3), FakeVideo(starts=(0, 0, 0), seed=4)]
    outputs, state = _run(model, _frames(model, *videos))
    assert torch.equal(state.objects['valid'].sum(1), torch.tensor([1, 3])), 'valid was lost'
    for number, video in enumerate(videos):
        known = len(video.starts) + 1
        for batch, single in zip(outputs, _run(model, _frames(model, video))[0], strict=True):
            gap = (batch[number, :known] - single[0]).abs().mean()
            assert gap < 1e-3, f'video {number} differs by {gap:.2g} from what it is alone'
            assert (batch[number, known:] < 1e-4).all(), 'an object that is not valid was predicted'


def check_grow_and_drop(cls: type) -> None:
    """Every tensor per object follows K up and down, to none and up again."""
    model = build(cls)
    frames = _frames(model, FakeVideo(4, starts=(0, 1, 1)))
    state = model.init_state(None)
    for frame, known in zip(frames[:3], (1, 3, 3), strict=True):
        _run(model, [frame], state)
        _assert_objects(state, known)
    full = state.nbytes()
    for gone in ((0,), (0, 1)):
        state.drop(gone)
        assert state.nbytes() < full, 'dropping objects freed nothing'
        _assert_objects(state, 2 if gone == (0,) else 0)
        (probs,), _ = _run(model, [frames[3]], copy.deepcopy(state))
        assert torch.isfinite(probs).all(), 'not finite after dropping'
        assert probs.shape[1] == state.num_objects + 1, tuple(probs.shape)
    again = Frame(4, frames[0].image, frames[0].masks, frames[0].given)
    _run(model, [again, Frame(5, frames[3].image)], state)
    _assert_objects(state, 1)


def _assert_objects(state: VideoState, known: int) -> None:
    assert state.num_objects == known, f'{state.num_objects} objects instead of {known}'
    wrong = {name: tuple(t.shape) for name, t in _object_tensors(state).items()
             if t.shape[1] != known}
    assert not wrong, f'expected {known} objects on axis 1, got {wrong}'


def _object_tensors(state: VideoState) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.tensors().items()
            if name.startswith('objects/') or '/objects/' in name}


def _item(video: FakeVideo, index: int) -> tuple[np.ndarray, np.ndarray | None]:
    return video.read(index), video.given.get(index)


SEGMENTOR = (check_loss, check_step, check_segment_reads_only, check_state_is_whole,
             check_saved_session, check_removed_object, check_failed_step, check_interleaved,
             check_session, check_maps, check_one_frame, check_batch, check_grow_and_drop)


# ---- methods that find objects by themselves (needs_mask = False)


def check_zero_shot_loss(cls: type) -> None:
    """Every trainable parameter gets a finite gradient from pairs of frames and single ones."""
    model = build(cls).train()
    if not any(p.requires_grad for p in model.parameters()):
        return
    videos = [FakeVideo(2, (32, 48), seed=seed) for seed in range(2)]
    clips = torch.stack([frame.image for frame in fake_frames(videos)], 1)
    samples = [VOSDataSample(metainfo=dict(video_name=video.name)) for video in videos]
    torch.manual_seed(0)
    for length in (2, 1):
        for video, sample in zip(videos, samples, strict=True):
            sample.gt_masks = torch.from_numpy(np.stack([video.labels(t) for t in range(length)]))
        total, _ = model.parse_losses(model(clips[:, :length], samples, mode='loss'))
        assert torch.isfinite(total), f'the loss of clips of {length} is {total}'
        total.backward()
    bad = [name for name, p in model.named_parameters() if p.requires_grad
           and (p.grad is None or not torch.isfinite(p.grad).all())]
    assert not bad, f'no finite gradient for {", ".join(bad)}'


def check_found_objects(cls: type) -> None:
    """Native size, at most `num_slots` ids, the same in a copy; masks and removal are refused."""
    model, video = build(cls), FakeVideo(5, (41, 35))
    session, other = model.session(), build(cls).session()
    slots = set(range(model.num_slots + 1))
    _pass_on(session, other)  # before its first frame
    for index in range(5):
        labels = session.step(video.read(index))
        assert labels.shape == video.size, f'{labels.shape} instead of {video.size}'
        assert labels.dtype == np.uint8, f'{labels.dtype} instead of uint8'
        assert set(np.unique(labels).tolist()) <= slots, 'ids beyond num_slots'
        if index < 2:
            other.step(video.read(index))
        if index == 1:
            _pass_on(session, other)
        if index > 1:
            assert np.array_equal(other.step(video.read(index)), labels), 'differs after loading'
    for refused in (lambda: session.step(video.read(0), video.labels(0)),
                    lambda: session.remove([1])):
        message = ''
        try:
            refused()
        except ValueError as error:
            message = str(error)
        assert 'by itself' in message, f'masks or removal are not refused: {message}'


def _pass_on(session: VOSSession, other: VOSSession) -> None:
    with TemporaryDirectory() as folder:
        session.save(f'{folder}/session.safetensors')
        other.load(f'{folder}/session.safetensors')


def check_whole_videos(cls: type) -> None:
    """Videos of one frame and of several; each the same beside another one, with or without it."""
    model = build(cls)
    videos = [FakeVideo(1), FakeVideo(4, seed=1), FakeVideo(4, (41, 35), seed=2)]

    def found(*chosen: FakeVideo) -> list[list[bytes]]:
        samples = [VOSDataSample(metainfo=dict(video_name=video.name, given=video.given,
                                               frame_names=video.frame_names, truth=None))
                   for video in chosen]
        return [sample.pred_masks for sample in model(list(chosen), samples, mode='predict')]
    together = found(*videos)
    assert [len(pngs) for pngs in together] == [1, 4, 4], 'not one PNG for each frame'
    assert together == [found(video)[0] for video in videos], 'videos are not apart'


def check_zero_shot_state(cls: type) -> None:
    """`segment` reads only; the state does not grow with the video."""
    model = build(cls)
    frames = [Frame(frame.index, frame.image) for frame in _frames(model, FakeVideo(12))]
    held = []
    state = model.init_state(None)
    for frame in frames:
        _run(model, [frame], state)
        held.append(state.nbytes())
    before = pickle.dumps(state)
    later = Frame(12, frames[0].image)
    with torch.no_grad():
        model.segment(later, state)
    assert pickle.dumps(state) == before, 'segment wrote the state'
    assert held[-1] == held[-4], f'the state grows: {held} bytes'
    assert state.num_objects == model.num_slots, f'{state.num_objects} objects'


ZERO_SHOT = (check_zero_shot_loss, check_found_objects, check_whole_videos, check_zero_shot_state)
