"""Clips for training without labels: memories and moved images."""
import numpy as np
import pytest

from mmvos.apis import setup
from mmvos.datasets import (
    AnimatedImageDataset,
    ClipDataset,
    ClipIndex,
    MemoryClipDataset,
    SyntheticVOS,
)
from mmvos.datasets.synthetic import SyntheticVideo


@pytest.fixture(autouse=True)
def scope():
    setup()


def source(**options):
    return SyntheticVOS(num_videos=2, length=13, size=(32, 48), seed=1, **options)


def test_a_memory_clip_begins_with_the_first_frame():
    data = MemoryClipDataset(source(), [dict(type='PackClip')], length=3, gaps=(2,),
                             gap_probs=(1.,))
    found = data.epoch(np.random.default_rng(0))
    # frames 0, 2, ..., 12 are cut into (0, 2, 4) and (6, 8, 10)
    assert sorted(found) == [(v, (0, *rest)) for v in (0, 1) for rest in ((2, 4), (8, 10))]
    clip = data[ClipIndex(1, (0, 8, 10), (0,))]['inputs'].numpy()
    video = source().videos[1]
    for frame, number in zip(clip, (0, 8, 10), strict=True):
        assert np.array_equal(frame.transpose(1, 2, 0), video.read(number))


def test_an_animated_image_moves_by_itself():
    still = [dict(type='PackClip')]
    moved = [dict(type='PerFrame', transforms=[dict(type='RandomHomography')]), *still]
    data = AnimatedImageDataset(source(), still, length=3)
    epoch = data.epoch(np.random.default_rng(0))
    assert sorted(epoch) == [(0, (0, 0, 0)), (1, (0, 0, 0))]
    assert len(data) == 2
    clip = data[ClipIndex(0, (0, 0, 0), (0,))]['inputs'].numpy()
    assert (clip == source().videos[0].read(0).transpose(2, 0, 1)).all()
    clip = AnimatedImageDataset(source(), moved, length=3)[ClipIndex(0, (0, 0, 0), (0,))]['inputs']
    differ = [(clip[a] != clip[b]).float().mean().item() for a, b in ((0, 1), (1, 2), (0, 2))]
    assert min(differ) > .2


def test_short_videos_draw_among_the_gaps_that_fit():
    """13 frames hold 3 of them at gaps of 2 and 5, not of 8."""
    data = ClipDataset(source(), [dict(type='PackClip')], length=3, gaps=(2, 5, 8),
                       gap_probs=(.4, .4, .2))
    rng = np.random.default_rng(0)
    gaps = [frames[1] - frames[0] for _ in range(300) for frames in dict(data.epoch(rng)).values()]
    assert set(gaps) == {2, 5}
    assert np.mean(np.array(gaps) == 2) == pytest.approx(.5, abs=.06)
    with pytest.raises(ValueError, match='no video has 8 frames at a gap of 2'):
        ClipDataset(source(), [dict(type='PackClip')], length=8)


def test_videos_too_short_for_every_gap_are_named(monkeypatch):
    said = []
    monkeypatch.setattr('mmvos.datasets.clip_dataset.print_log', lambda text, _: said.append(text))
    pack = [dict(type='PackClip')]
    ClipDataset(source(), pack, length=7, gaps=(2,), gap_probs=(1.,))
    assert not said
    videos = source()
    sources, longer = videos.sources, SyntheticVideo(
        0, 0, length=30, size=(32, 48), num_objects=1)
    first = videos.get_data_info(0)
    videos.sources = lambda info: (longer, None, None) if info == first else sources(info)
    ClipDataset(videos, pack, length=8, gaps=(2,), gap_probs=(1.,))
    assert said == ['1 of 2 videos have less than 8 frames at a gap of 2 and are left out: '
                    'synthetic_001 ...']
