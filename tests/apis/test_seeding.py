"""First masks that a zero-shot model finds, followed both ways."""
import numpy as np
import pytest
import torch

from mmvos.apis import VOSInferencer, setup
from mmvos.apis.seeding import confidence, surest_mask
from mmvos.io import InputError, decode_mask
from mmvos.models import MAMP, STM, COSNet, FlowPropagation, VideoSegmentor
from mmvos.structures import VideoState
from mmvos.testing import FakeVideo
from mmvos.testing.construction_contracts import build


@pytest.fixture(autouse=True)
def scope():
    setup()


class Told(VideoSegmentor):
    """Finds an object of so many rows, with such a probability, on each frame."""

    needs_mask = False

    def __init__(self, frames):
        super().__init__()
        self.frames = frames

    def init_state(self, video):
        return VideoState()

    def segment(self, frame, state):
        rows, prob = self.frames[frame.index]
        logits = torch.full((1, 2, *frame.image.shape[-2:]), -10.)
        logits[:, 0] = 0
        logits[:, 1, :rows] = torch.tensor(prob).logit()
        return logits

    def memorize(self, frame, probs, state):
        pass


def test_confidence_by_hand():
    probs = torch.tensor([[.1, .4, .9], [.9, .6, .1]]).view(1, 2, 1, 3)
    assert confidence(probs) == pytest.approx((.8 + .2) / 2)
    assert confidence(torch.tensor([.9, .1]).view(1, 2, 1, 1)) == 0


def test_the_surest_of_a_sensible_area():
    """Frame 1 is surer but everywhere, frame 3 surer but nowhere; 2 beats 0."""
    model = Told([(10, .7), (33, .99), (10, .9), (0, .99)]).eval()
    index, png = surest_mask(model, FakeVideo(4))
    assert index == 2
    mask = decode_mask(png)
    assert (mask[:10] == 1).all()
    assert not mask[10:].any()


def test_less_than_1_and_more_than_60_percent_are_not_sensible():
    """Of 200 rows: 1, 130, 119 and 2; the least sure of them is the one that counts."""
    model = Told([(1, .99), (130, .99), (119, .8), (2, .7)]).eval()
    assert surest_mask(model, FakeVideo(4, (200, 20)))[0] == 2
    model = Told([(1, .99), (130, .99), (121, .8), (2, .7)]).eval()
    assert surest_mask(model, FakeVideo(4, (200, 20)))[0] == 3


def test_no_frame_is_sensible():
    message = "Told finds no object in 'fake_0'.*1% to 60%.*give a mask"
    with pytest.raises(InputError, match=message):
        surest_mask(Told([(33, .9)] * 3).eval(), FakeVideo(3))


def copier(**options):
    return build(FlowPropagation, motion_estimator=dict(type='ZeroFlow', stride=1),
                 memory=dict(type='FrameBank', recent=1), **options).eval()


@pytest.mark.parametrize('refiner', [None, dict(type='OnlineAdaptation', iterations=1, size=48,
                                                base_channels=4)])
def test_the_mask_is_followed_to_both_ends(refiner):
    """A model that copies: the mask of frame 2 is everywhere, before and after it."""
    finder = Told([(3, .7), (3, .8), (12, .9), (3, .7), (3, .6)]).eval()
    video = FakeVideo(5)
    inferencer = VOSInferencer(copier(), init_from=finder, refiner=refiner)
    result = inferencer(video, progress=False)
    expected = np.zeros((33, 47), np.uint8)
    expected[:12] = 1
    assert len(result.masks) == 5
    shown = [2] if refiner else range(5)  # a refiner keeps what was found and changes the others
    assert all(np.array_equal(result.masks[t], expected) for t in shown)


def test_a_given_mask_is_not_searched_for():
    finder = Told([(12, .9)] * 3).eval()
    video = FakeVideo(3)
    result = VOSInferencer(copier(), init_from=finder)(video, video.labels(0), progress=False)
    assert np.array_equal(result.masks[2], video.labels(0))


@pytest.mark.parametrize('cls', [MAMP, STM])
def test_for_a_method_that_matches(cls):
    """The frame of the mask keeps it, and both sides have what the method says of them."""
    torch.manual_seed(0)
    finder = Told([(3, .7), (3, .8), (12, .9), (3, .7), (3, .6)]).eval()
    model, video = build(cls).eval(), FakeVideo(5)
    result = VOSInferencer(model, init_from=finder)(video, progress=False)
    mask = np.zeros((33, 47), np.uint8)
    mask[:12] = 1
    forwards, backwards = model.session(), model.session()
    for t in (2, 3, 4):
        assert np.array_equal(forwards.step(video.read(t), mask if t == 2 else None),
                              result.masks[t])
    for t in (2, 1, 0):
        assert np.array_equal(backwards.step(video.read(t), mask if t == 2 else None),
                              result.masks[t])


def test_the_finder_has_weights_of_its_own(tmp_path):
    torch.manual_seed(0)
    weights = build(COSNet).state_dict()
    torch.save(weights, tmp_path / 'cosnet.pth')
    config = dict(type='COSNet', **COSNet.example)
    with pytest.raises(ValueError, match='COSNet needs weights; .*--init-checkpoint'):
        VOSInferencer(copier(), init_from=config)
    inferencer = VOSInferencer(copier(), init_from=config,
                               init_checkpoint=tmp_path / 'cosnet.pth')
    for name, value in inferencer.finder.state_dict().items():
        assert torch.equal(value, weights[name]), name
    with pytest.raises(ValueError, match='give it as init_from, too'):
        VOSInferencer(copier(), init_checkpoint=tmp_path / 'cosnet.pth')


def test_the_finder_works_in_the_same_type():
    inferencer = VOSInferencer(copier(), init_from=Told([(12, .9)]), dtype='bf16')
    assert inferencer.finder.autocast is inferencer.model.autocast is torch.bfloat16


def test_refusals():
    follower, finder = copier(), Told([(12, .9)]).eval()
    with pytest.raises(ValueError, match='got FlowPropagation for FlowPropagation'):
        VOSInferencer(follower, init_from=copier())
    with pytest.raises(ValueError, match='got Told for Told'):
        VOSInferencer(finder, init_from=finder)
    with pytest.raises(ValueError, match='leave init_from out'):
        VOSInferencer(follower, init_from=finder).session()
    with pytest.raises(ValueError, match=r'init_from \(--init-from\) to find one'):
        VOSInferencer(follower)(FakeVideo(2), progress=False)
