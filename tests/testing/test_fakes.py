"""The fakes against what they say of themselves."""
import numpy as np
import pytest
import torch

from mmvos.testing import FakeBackbone, FakeVideo, fake_frames


@pytest.mark.parametrize('size', [(33, 47), (32, 48), (41, 35)])
def test_video_and_masks_agree(size):
    video = FakeVideo(8, size, starts=(0, 2, 5))
    for index, image in enumerate(video.frames()):
        labels = video.labels(index)
        there = {k for k, start in enumerate(video.starts, 1) if start <= index}
        assert set(np.unique(labels)) == {0, *there}
        assert image.shape == (*size, 3)
        for k in range(1, 4):
            assert (image[labels == k] == video.colors[k - 1]).all()
        assert (image[labels == 0] == video.background[labels == 0]).all()


def test_objects_move_one_pixel():
    video = FakeVideo()
    rows = [np.nonzero(video.labels(index).any(1))[0][0] for index in range(4)]
    assert np.diff(rows).tolist() == [1, 1, 1]


def test_given_has_new_objects_only():
    given = FakeVideo(starts=(0, 2)).given
    assert given.indices == [0, 2]
    assert np.unique(given.read(2)).tolist() == [0, 2]


def test_frames_of_a_batch():
    videos = [FakeVideo(4, starts=(0,)), FakeVideo(4, starts=(0, 0, 2), seed=1)]
    frames = list(fake_frames(videos, divisor=8))
    assert frames[0].image.shape == (2, 3, 40, 48)
    assert frames[0].given.tolist() == frames[0].valid.tolist() == [[True, False], [True, True]]
    assert frames[1].masks is None
    assert frames[2].given.tolist() == [[False] * 3, [False, False, True]]
    assert frames[2].valid.tolist() == [[True, False, False], [True] * 3]
    for video, masks in zip(videos, frames[2].masks, strict=True):
        for k, mask in enumerate(masks):
            expected = (video.labels(2) == k + 1) if video is videos[1] and k == 2 else 0
            assert (mask[:33, :47].numpy() == expected).all()
            assert not mask[33:].any()


@pytest.mark.parametrize('stride', [1, 2, 4, 8])
def test_backbone_rounds_up(stride):
    (features,) = FakeBackbone(5, stride)(torch.zeros(2, 3, 33, 47))
    assert features.shape == (2, 5, -(-33 // stride), -(-47 // stride))


def test_backbone_is_the_same_every_time():
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(FakeBackbone()(x)[0], FakeBackbone()(x)[0])
