"""What holds for datasets, transforms, metrics, hooks and the data preprocessor."""
from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook

from ..datasets.clip_dataset import ClipIndex
from ..io import encode_mask
from ..structures import MaskSource, VideoSource, VOSDataSample
from .construction_contracts import build
from .fakes import FakeVideo


def check_transform(cls: type) -> None:
    """Draws come from `rng` alone; the input stays as it was.

    All frames share them, or, where the class says `per_frame = True`, none do.
    """
    image = FakeVideo(size=(33, 47)).read(0)
    numpy_state, torch_state = pickle.dumps(np.random.get_state()), torch.get_rng_state()
    for seed in range(4):
        frames = [image.copy(), image.copy()]
        first, again = (_apply(build(cls), frames, seed) for _ in range(2))
        assert all(np.array_equal(frame, image) for frame in frames), 'the input was changed'
        assert len(first) == 2, f'{len(first)} frames of 2'
        own = getattr(cls, 'per_frame', False)
        assert np.array_equal(first[0], first[1]) != own, (
            'frames of a clip got ' + ('the same draw' if own else 'different draws'))
        assert all(map(np.array_equal, first, again)), 'the same seed gives something else'
        assert first[0].dtype == np.uint8, f'{first[0].dtype} instead of uint8'
    assert pickle.dumps(np.random.get_state()) == numpy_state, "NumPy's global generator was used"
    assert torch.equal(torch.get_rng_state(), torch_state), "torch's global generator was used"


def _apply(transform: Any, frames: list[np.ndarray], seed: int) -> list[np.ndarray]:
    results = transform(dict(frames=list(frames), video_name='fake',
                             rng=np.random.default_rng(seed)))
    return [np.asarray(x) for x in results['inputs' if 'inputs' in results else 'frames']]


def check_video_dataset(cls: type) -> None:
    """An item is one lazy video with its masks; it pickles and reads the same again."""
    dataset = build(cls)
    assert len(dataset) == len(dataset.videos) > 0, 'no video'
    names = []
    for item in (dataset[index] for index in range(len(dataset))):
        video, sample = item['inputs'], item['data_samples']
        assert isinstance(video, VideoSource), f'inputs is a {type(video).__name__}'
        names.append(sample.video_name)
        assert list(sample.frame_names) == list(video.frame_names), 'frame_names differ'
        assert len(video) == len(video.frame_names), 'not one name per frame'
        copied = pickle.loads(pickle.dumps(item))['inputs']
        image = video.read(len(video) - 1)
        assert image.shape == (*video.size, 3), f'{image.shape} for {video.size}'
        assert np.array_equal(copied.read(len(video) - 1), image), 'a copy reads something else'
        _check_masks(sample.given, video)
        if sample.truth is not None:
            _check_masks(sample.truth, video)
    assert len(set(names)) == len(names), 'two videos have one name'


def _check_masks(masks: MaskSource, video: VideoSource) -> None:
    assert masks.indices == sorted(set(masks.indices)), 'indices are not sorted'
    assert set(masks.indices) <= set(range(len(video))), 'a mask without a frame'
    for index in masks.indices[:2]:
        labels = masks.read(index)
        assert labels.shape == video.size, f'a mask {labels.shape} for {video.size}'
        assert labels.dtype == np.uint8, f'{labels.dtype} instead of uint8'


def check_clip_dataset(cls: type) -> None:
    """Epochs and clips depend on their seeds alone."""
    dataset = build(cls)
    assert len(dataset) > 0, 'no clip'
    epochs = [dataset.epoch(np.random.default_rng(7)) for _ in range(2)]
    assert epochs[0] == epochs[1], 'an epoch is not determined by its generator'
    video, frames = epochs[0][0]
    items = [pickle.loads(pickle.dumps(dataset))[ClipIndex(video, frames, (7,))] for _ in range(2)]
    clip = items[0]['inputs']
    assert clip.dtype == torch.uint8, f'{clip.dtype} instead of uint8'
    assert clip.shape[:2] == (len(frames), 3), f'{tuple(clip.shape)} instead of (T,3,H,W)'
    assert torch.equal(clip, items[1]['inputs']), 'the same seed gives something else'


def check_metric(cls: type) -> None:
    """One entry per video, finite numbers at the end, nothing left for the next run."""
    metric = build(cls)
    metric.dataset_meta = {}
    for _ in range(2):
        for seed in range(3):
            video = FakeVideo(5, starts=(0, 0), seed=seed)
            sample = VOSDataSample(metainfo=dict(
                video_name=video.name, frame_names=video.frame_names, given=video.given,
                truth=video.truth))
            sample.pred_masks = [encode_mask(video.labels(index)) for index in range(len(video))]
            metric.process({}, [sample.to_dict()])
            assert len(metric.results) == seed + 1, f'{len(metric.results)} entries'
        values = metric.evaluate(3)
        assert values, 'no number'
        bad = {k: v for k, v in values.items() if not math.isfinite(v)}
        assert not bad, f'not finite: {bad}'


def check_hook(cls: type) -> None:
    """The example is a hook."""
    assert isinstance(build(cls), Hook), 'not a mmengine hook'


def check_data_preprocessor(cls: type) -> None:
    """Clips become (B,T,3,H,W) in [0,1]; lazy videos pass untouched."""
    model = build(cls)
    clips = [torch.full((2, 3, 5, 7), value, dtype=torch.uint8) for value in (0, 255)]
    out = model(dict(inputs=clips, data_samples=None), True)['inputs']
    assert out.shape == (2, 2, 3, 5, 7), tuple(out.shape)
    assert (out[0] == 0).all(), 'black is not 0'
    assert (out[1] == 1).all(), 'white is not 1'
    video = FakeVideo()
    assert model(dict(inputs=[video], data_samples=[None]))['inputs'][0] is video, 'video changed'
