"""Motion estimators without weights, on exact synthetic motion."""
import cv2
import numpy as np
import pytest
import torch

from mmvos.datasets.synthetic import SyntheticVideo
from mmvos.models import MAMP, DISFlow, FlowPropagation, ZeroFlow
from mmvos.models.segmentors import LargestMovingRegion
from mmvos.structures import Frame
from mmvos.testing.construction_contracts import build


def frame(image, index=0):
    return Frame(index, torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)


@pytest.mark.parametrize('scale', [1, 2])
def test_dis_finds_the_exact_flow(scale):
    """End-point error against rendered flow, in cells; zero motion would score the motion."""
    video = SyntheticVideo(3, 0, length=8, size=(128, 192), num_objects=1)
    dis = DISFlow(stride=4, scale=scale)
    query, ref = frame(video.read(4), 4), frame(video.read(2), 2)
    flow = dis(query, dis.encode(ref)[:, :, None], [2])[0, 0].permute(1, 2, 0).numpy()
    truth = video.flow(4, 2)[::4, ::4] / 4
    seen = video.visible(4, 2)[::4, ::4]
    error = np.linalg.norm(flow - truth, axis=-1)[seen]
    motion = np.linalg.norm(truth, axis=-1)[seen]
    assert flow.shape == (32, 48, 2)
    assert np.median(error) < 0.2
    assert error.mean() < 0.5 * motion.mean()


def test_dis_stacks_references():
    g = np.random.default_rng(0)
    images = [g.integers(0, 255, (40, 56, 3), np.uint8) for _ in range(3)]
    dis = DISFlow()
    codes = torch.stack([dis.encode(frame(image)) for image in images[1:]], 2)
    both = dis(frame(images[0]), codes, [1, 3])
    assert both.shape == (1, 2, 2, 10, 14)
    for i in range(2):
        assert torch.equal(both[:, i:i + 1], dis(frame(images[0]), codes[:, :, i:i + 1], [1]))


@pytest.mark.parametrize('cells', [(6, 0), (-8, 4)])
def test_dis_begins_where_it_is_told(cells):
    """Noise that has moved further than a search without a hint reaches; the hint is near."""
    image = np.random.default_rng(0).integers(0, 255, (192, 240, 3), np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 3)
    dis = DISFlow()
    code = dis.encode(frame(np.roll(image, np.multiply(cells[::-1], 4), (0, 1))))[:, :, None]
    true = torch.tensor(cells).view(1, 1, 2, 1, 1).expand(-1, -1, -1, 48, 60)
    errors = [(dis(frame(image, 1), code, [1], start) - true)[0, 0, :, 12:-12, 12:-12].norm(dim=0)
              for start in (None, true + .5)]
    assert errors[0].median() > 1
    assert errors[1].median() < .1


def test_zero_flow():
    zero = ZeroFlow(stride=4)
    f = Frame(1, torch.zeros(2, 3, 33, 47))
    out = zero(f, torch.stack([zero.encode(f)] * 3, -3), [1, 2, 3])
    assert out.shape == (2, 3, 2, 9, 12)
    assert (out == 0).all()


@pytest.mark.parametrize(('cls', 'stride'), [
    (LargestMovingRegion, 4), (FlowPropagation, 4), (MAMP, 8)])
def test_offsets_of_another_grid_are_refused(cls, stride):
    with pytest.raises(ValueError, match=rf'expected motion_estimator=.* got stride={stride}$'):
        build(cls, motion_estimator=dict(type='ZeroFlow', stride=stride))
