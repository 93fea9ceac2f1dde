"""Baselines without masks, on pictures whose answer is known."""
import numpy as np
import pytest

from mmvos.apis import VOSInferencer, setup
from mmvos.models.segmentors import CentrePrior, LargestMovingRegion
from mmvos.models.segmentors.zero_shot_baselines import largest_region
from mmvos.structures import VideoSource
from mmvos.testing import FakeVideo
from mmvos.testing.construction_contracts import build


@pytest.fixture(autouse=True)
def scope():
    setup()


class Moving(VideoSource):
    """Noise; a large square moves four pixels a frame, a small one too, a third stands still."""

    def __init__(self):
        self.name, self.fps = 'moving', 24.
        self.frame_names = [f'{t:05d}' for t in range(3)]
        rng = np.random.default_rng(0)
        self.ground = np.kron(rng.integers(0, 255, (20, 30)), np.ones((6, 6)))
        self.paint = np.kron(rng.integers(0, 255, (8, 8)), np.ones((5, 5)))

    size = (120, 180)

    def read(self, index):
        image = self.ground.copy()
        image[20:60, 30 + 4 * index:70 + 4 * index] = self.paint
        image[90:105, 20 + 4 * index:35 + 4 * index] = self.paint[:15, :15]
        image[80:110, 120:150] = self.paint[:30, :30]
        return np.repeat(image[..., None], 3, 2).astype(np.uint8)


def test_what_moves_and_is_largest():
    result = VOSInferencer(build(LargestMovingRegion))(Moving(), progress=False)
    assert not result.masks[0].any()
    for t in (1, 2):
        expected = np.zeros((120, 180), bool)
        expected[20:60, 30 + 4 * t:70 + 4 * t] = True
        found = result.masks[t] == 1
        assert (found & expected).sum() / (found | expected).sum() > .7
        assert not found[78:].any()  # neither the small one nor the one that stands still


def test_a_camera_that_turns_moves_nothing():
    class Turning(Moving):
        def read(self, index):
            return np.roll(super().read(0), 3 * index, 1)
    result = VOSInferencer(build(LargestMovingRegion))(Turning(), progress=False)
    assert (result.masks[2][:, 12:-12] > 0).mean() < .02  # but at the rim


def test_regions_by_hand():
    inside = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 1, 0, 1]], bool)
    assert largest_region(inside).tolist() == [[0, 0, 0, 1]] * 3
    assert not largest_region(np.zeros((2, 3), bool)).any()


@pytest.mark.parametrize(('size', 'share'),
                         [((.5, .5), np.pi / 16), ((1, 1), np.pi / 4), ((0, 1), 0)])
def test_area_of_the_ellipse(size, share):
    result = VOSInferencer(CentrePrior(size))(FakeVideo(2, (101, 201)), progress=False)
    assert (result.masks[1] > 0).mean() == pytest.approx(share, abs=.01)
    with pytest.raises(ValueError, match='shares from 0 to 1'):
        CentrePrior((2, 1))
