"""Padding by reflection, against NumPy's."""
import numpy as np
import pytest
import torch

from mmvos.models.segmentors import Geometry

# the sides of the last three are shorter than their padding
SIZES = [(33, 47), (32, 48), (17, 50), (7, 40), (2, 3), (1, 16)]


@pytest.mark.parametrize('sides', ['both', 'end'])
@pytest.mark.parametrize('size', SIZES)
def test_images_are_mirrored_at_their_rim(size, sides):
    geometry = Geometry(divisor=16, sides=sides, mode='reflect')
    image = torch.rand(2, 3, *size)
    needed = [-side % 16 for side in size]
    before = [n // 2 if sides == 'both' else 0 for n in needed]
    rims = [(b, n - b) for b, n in zip(before, needed, strict=True)]
    expected = np.pad(image.numpy(), [(0, 0), (0, 0), *rims], mode='reflect')
    padded = geometry.pad_image(image)
    assert np.array_equal(padded.numpy(), expected)
    assert torch.equal(geometry.crop(padded, size), image)


def test_masks_are_not_mirrored():
    geometry = Geometry(divisor=16, sides='both', mode='reflect')
    mask = torch.ones(1, 2, 17, 50)
    assert geometry.pad(mask).shape == (1, 2, 32, 64)
    assert geometry.pad(mask).sum() == mask.sum()


def test_other_modes_are_refused():
    with pytest.raises(ValueError, match="'constant' or 'reflect', got 'replicate'"):
        Geometry(divisor=16, mode='replicate')


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match='short_side of geometry should be 1 or more pixels'):
        Geometry(short_side=0)


@pytest.mark.parametrize('wrong', [dict(divisor=0), dict(decimate=0)])
def test_no_pixels_are_refused(wrong):
    with pytest.raises(ValueError, match='divisor and decimate of geometry should be 1 or more'):
        Geometry(**wrong)
