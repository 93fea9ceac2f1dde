"""Classes of colours against OpenCV and brute force, the loss against numbers from a desk."""
import math

import cv2
import numpy as np
import pytest
import torch

from mmvos.models.losses import ColorClassLoss, color_class_loss, color_classes, color_masks
from mmvos.models.losses.color_classes import CENTROIDS


def by_opencv(image):
    """(H,W,3) RGB in [0,1] -> distances (H,W,16) in the ab plane."""
    ab = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2LAB)[..., None, 1:]
    return np.linalg.norm(ab - np.float32(CENTROIDS), axis=-1)


def test_nearest_centroid_is_that_of_opencv():
    image = np.random.default_rng(0).random((64, 64, 3))
    image[32:] = .5 + (image[32:] - .5) / 5  # greyish colours, where most centroids are
    distance = by_opencv(image)
    nearest, second = np.sort(distance, -1)[..., :2].transpose(2, 0, 1)
    clear = second - nearest > .2  # units of Lab
    assert clear.mean() > .95
    classes = color_classes(torch.from_numpy(image).movedim(-1, 0)[None].float())[0].numpy()
    assert (classes == distance.argmin(-1))[clear].all()
    assert len(np.unique(classes)) == 16


@pytest.mark.parametrize('number', range(16))
def test_the_colour_of_a_centroid_is_its_class(number):
    """At the lightness where such a colour exists in RGB."""
    lab = np.float32([[(lightness, *CENTROIDS[number]) for lightness in range(20, 90, 2)]])
    rgb = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).clip(0, 1)
    error = np.abs(cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB) - lab).max(-1)[0]
    assert error.min() < 1
    image = torch.from_numpy(rgb[:, [error.argmin()]]).movedim(-1, 0)
    assert color_classes(image[None]).item() == number


def test_masks_of_clips_are_one_hot():
    clip = torch.rand(2, 3, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    masks = color_masks(clip)
    assert masks.shape == (2, 3, 16, 4, 5)
    assert torch.equal(masks.argmax(2), color_classes(clip))
    assert torch.equal(masks.sum(2), torch.ones(2, 3, 4, 5))
    assert torch.equal(color_classes(clip)[1, 2], color_classes(clip[1, 2][None])[0])


def test_loss_by_hand():
    pred = torch.tensor([[.25, .5, .25], [1., 0., 0.], [0., 0., 0.]]).T.view(1, 3, 1, 3)
    target = torch.eye(3)[[0, 0, 2]].T.view(1, 3, 1, 3)
    expected = (math.log(4) + 0 + 8 * math.log(10)) / 3
    assert ColorClassLoss()(pred, target).item() == pytest.approx(expected, rel=1e-5)
    assert ColorClassLoss(1e-4)(pred[..., 2:], target[..., 2:]).item() == pytest.approx(
        4 * math.log(10), rel=1e-5)


def test_loss_of_uniform_colours():
    target = color_masks(torch.rand(1, 3, 8, 8))
    assert color_class_loss(torch.full_like(target, 1 / 16), target).item() == pytest.approx(
        math.log(16), rel=1e-5)


def test_refusals():
    with pytest.raises(ValueError, match='one shape'):
        color_class_loss(torch.zeros(1, 16, 2, 2), torch.zeros(1, 16, 2, 1))
    with pytest.raises(ValueError, match='floor'):
        ColorClassLoss(0.)


def test_autocast_changes_no_class():
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = color_classes(image)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(color_classes(image), expected)
