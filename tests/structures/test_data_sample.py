"""The masks of a batch of clips."""
import pytest
import torch

from mmvos.structures import VOSDataSample, true_masks


def sample(masks=None):
    made = VOSDataSample(metainfo=dict(video_name='dog'))
    if masks is not None:
        made.gt_masks = masks
    return made


def test_masks_are_stacked():
    masks = torch.arange(24, dtype=torch.uint8).view(2, 3, 2, 2)
    assert torch.equal(true_masks([sample(one) for one in masks], torch.device('cpu')), masks)


def test_clips_without_masks_are_refused():
    masks = torch.zeros(3, 2, 2, dtype=torch.uint8)
    with pytest.raises(ValueError, match='got data samples without gt_masks; set .*MaskedClip'):
        true_masks([sample(masks), sample()], torch.device('cpu'))
