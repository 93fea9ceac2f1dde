"""MAMP's training input and its propagation on a static video, against closed forms."""
import numpy as np
import pytest
import torch

from mmvos.models import MAMP, ColorReconstructionLoss, SoftMAMP, TrackingMAMP
from mmvos.models.losses import color_reconstruction_loss
from mmvos.models.motion_estimators import MotionEstimator
from mmvos.models.segmentors import drop_channel
from mmvos.models.segmentors.label_propagation import share_unknown
from mmvos.ops import rgb_to_lab, upsample_half_pixel
from mmvos.structures import Frame
from mmvos.testing.construction_contracts import build
from mmvos.testing.fakes import FakeVideo, fake_frames


def propagator(upsample='half_pixel', divisor=4, decimate=1, **memory):
    """MAMP whose matching copies each cell: what is left is alignment alone."""
    return MAMP(
        dict(type='RawColor'), dict(type='LocalMatching', radius=0),
        memory=dict(type='FrameBank', **memory), motion_estimator=dict(type='ZeroFlow'),
        upsample=upsample, geometry=dict(divisor=divisor, value=0.467, decimate=decimate)).eval()


def disc(radius, size=(480, 854), centre=(240, 400)):
    y, x = np.ogrid[:size[0], :size[1]]
    return ((x - centre[1])**2 + (y - centre[0])**2 <= radius**2).astype(np.uint8)


def static_ious(model, mask, steps):
    image = np.full((*mask.shape, 3), 100, np.uint8)
    session = model.session()
    session.step(image, mask)
    ious = []
    for _ in range(steps):
        labels = session.step(image)
        ious.append((labels & mask).sum() / (labels | mask).sum())
    return ious


def test_half_pixel_erodes_a_static_mask():
    ious = static_ious(propagator(annotated=False), disc(60), 10)
    assert ious[0] == pytest.approx(0.951, abs=1e-3)
    assert ious[1] == pytest.approx(0.926, abs=1e-3)
    assert ious[9] == pytest.approx(0.746, abs=1e-3)


@pytest.mark.parametrize(('radius', 'iou'), [(60, 0.9695), (20, 0.8998)])
def test_kernel_centre_keeps_a_static_mask(radius, iou):
    ious = static_ious(propagator('kernel_centre', annotated=False), disc(radius), 5)
    assert ious == pytest.approx([iou] * 5, abs=1e-3)  # ties at exactly 0.5 make the difference
    assert len(set(ious)) == 1


def test_without_padding_the_error_depends_on_the_position():
    ious = static_ious(propagator(divisor=1, annotated=False), disc(60), 3)
    assert ious == pytest.approx([0.960] * 3, abs=1e-3)


def test_decimation_reads_labels_at_every_eighth_pixel():
    """Half resolution: a mask made of 8x8 blocks survives kernel-centre up-sampling's samples."""
    model = propagator(decimate=2, divisor=16)
    session = model.session()
    mask = np.zeros((33, 47), np.uint8)
    mask[8:16, 8:24] = 3
    session.step(np.zeros((33, 47, 3), np.uint8), mask)
    label = session.state.banks['frames'].read('label', 1)
    assert label.shape == (1, 1, 1, 1, 6, 6)
    assert label[0, 0, 0, 0].nonzero().tolist() == [[1, 1], [1, 2]]
    assert session.step(np.zeros((33, 47, 3), np.uint8)).shape == (33, 47)


def test_drop_channel_example():
    lab = torch.tensor([0.2, -0.4, 0.6]).view(1, 1, 3, 1, 1).expand(2, 2, 3, 4, 4)
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        out, target = drop_channel(lab)
        seen.add((tuple(out[0, 0, :, 0, 0].tolist()), target[0, 0, 0, 0, 0].item()))
        assert (out == out[:1, :1, :, :1, :1]).all()  # one draw for the batch
    expected = {((0.3, 0, 0.9), -0.4), ((0.3, -0.6, 0), 0.6)}
    assert {tuple(np.round([*a, b], 5)) for a, b in seen} == {
        tuple(np.round([*a, b], 5)) for a, b in expected}


@pytest.mark.parametrize(('difference', 'loss'),
                         [(0.01, 0.02), (0.04, 0.32), (0.05, 0.5), (0.1, 1.5), (0.5, 9.5)])
def test_loss_values(difference, loss):
    target = torch.rand(2, 1, 3, 3)
    assert ColorReconstructionLoss()(target + difference, target).item() == pytest.approx(
        loss, rel=1e-4)


def test_loss_refuses_broadcasting():
    with pytest.raises(ValueError, match='one shape'):
        color_reconstruction_loss(torch.zeros(1, 2), torch.zeros(2))


def test_static_pair_is_reconstructed_from_its_own_cells():
    """The same frame twice, every cell of another colour: all that is lost is the sampling."""
    model = MAMP(**{**MAMP.example, 'backbone': dict(type='RawColor', scale=200.),
                    'reconstruction_head': dict(type='LocalMatching', radius=2)})
    g = torch.Generator().manual_seed(0)
    frame = torch.nn.functional.interpolate(torch.rand(2, 3, 8, 8, generator=g), (32, 32))
    clip = torch.stack([frame, frame], 1)
    torch.manual_seed(0)
    loss = model.loss(clip)['loss']
    torch.manual_seed(0)
    target = drop_channel(rgb_to_lab(clip.flatten(0, 1)).unflatten(0, (2, 2)))[1][:, 1]
    expected = color_reconstruction_loss(
        upsample_half_pixel(target[..., ::4, ::4], (32, 32)), target)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-3)


def test_each_frame_is_encoded_once():
    model = MAMP(**MAMP.example).eval()
    calls = []
    model.backbone.register_forward_hook(lambda *_: calls.append(1))
    session = model.session()
    image = np.random.default_rng(0).integers(0, 255, (40, 56, 3), np.uint8)
    mask = np.zeros((40, 56), np.uint8)
    mask[10:20, 10:20] = 1
    for t in range(8):
        session.step(image, mask if t == 0 else None)
    assert len(calls) == 8


def test_all_zero_scores_are_background():
    model = propagator()
    session = model.session()
    image = np.zeros((16, 16, 3), np.uint8)
    session.step(image, np.ones((16, 16), np.uint8))
    bank = session.state.banks['frames']
    bank.items[0].objects['label'].zero_()
    assert (session.step(image) == 0).all()


@pytest.mark.parametrize(('cls', 'hard'), [(MAMP, True), (SoftMAMP, False)])
def test_what_is_remembered_of_a_blurred_mask(cls, hard):
    """A flat image: each cell is the mean of its 3x3 neighbours."""
    model = build(cls, backbone=dict(type='RawColor'), upsample='kernel_centre',
                  matching_head=dict(type='LocalMatching', radius=1),
                  memory=dict(type='FrameBank', recent=1, annotated=False)).eval()
    image, mask = np.full((48, 64, 3), 100, np.uint8), disc(10, (48, 64), (24, 32))
    session = model.session()
    session.step(image, mask)
    cells = torch.from_numpy(mask[::4, ::4]).float()[None, None]
    for _ in range(2):
        session.step(image)
        cells = torch.nn.functional.avg_pool2d(cells, 3, 1, 1)
        if hard:
            cells = (cells > 0.5).float()
    label = session.state.banks['frames'].read('label', 3)[0, 0, 0, 0]
    assert (label - cells[0, 0]).abs().max() < 1e-5
    assert label.unique().numel() == 2 if hard else label.unique().numel() > 4


class KnownMotion(MotionEstimator):
    """A camera that comes nearer by `zoom` in each frame, or turns by `shift` cells, xy.

    Straight flow, or a search that is told where to begin, finds no motion if it is `lost`.
    """

    def __init__(self, zoom=1., shift=(0., 0.), lost=None):
        super().__init__()
        self.zoom, self.shift, self.lost, self.calls = zoom, torch.tensor(shift), lost, []

    def encode(self, frame):
        return torch.full_like(frame.image[:, :1, ::4, ::4], frame.index)

    def forward(self, frame, ref_codes, gaps, start=None):
        assert ref_codes[0, 0, :, 0, 0].tolist() == [frame.index - gap for gap in gaps]
        self.calls.append((gaps, start))
        lost = self.lost == ('straight' if start is None else 'tracked')
        return torch.stack([self.motion(self.grid_size(frame), gap) * (gap == 1 or not lost)
                            for gap in gaps])[None]

    def motion(self, size, gap):
        height, width = size
        cells = torch.stack(torch.meshgrid(torch.arange(width), torch.arange(height),
                                           indexing='xy'))
        centre = torch.tensor([(width - 1) / 2, (height - 1) / 2])[:, None, None]
        return (self.zoom**gap - 1) * (cells - centre) + gap * self.shift[:, None, None]


def tracking(motion, **memory):
    return build(TrackingMAMP, backbone=dict(type='RawColor'), motion_estimator=motion,
                 memory=dict(type='FrameBank', **memory)).eval()


@pytest.mark.parametrize('motion', [dict(zoom=.9), dict(shift=(1.3, -.4)), dict(shift=(-3., 0.))])
def test_the_search_begins_where_the_chain_of_motion_ends(motion):
    """Motion linear in the cells: between cells nothing is lost, at the border the nearest counts.
    """
    motion = KnownMotion(**motion)
    session = tracking(motion, anchors=(0, 2), recent=2, gap=3).session()
    for t in range(12):
        image = np.full((48, 64, 3), 100, np.uint8)
        session.step(image, disc(10, (48, 64), (24, 32)) if t == 0 else None)
    bank = session.state.banks['frames']
    assert [gaps for gaps, _ in motion.calls[-2:]] == [[11, 9, 4, 1], [11, 9, 4]]
    assert motion.calls[-2][1] is None
    expected = torch.stack([motion.motion((12, 16), gap) for gap in (11, 9, 4)])
    torch.testing.assert_close(motion.calls[-1][1], expected[None], rtol=0, atol=1e-4)
    for index in (9, 8, 0):  # not read by frame 11, not read by frame 11, read
        torch.testing.assert_close(bank.items[index].shared['trace'][0],
                                   motion.motion((12, 16), 11 - index), rtol=0, atol=1e-4)


@pytest.mark.parametrize('lost', ['straight', 'tracked'])
@torch.no_grad()
def test_cells_take_the_flow_that_leads_to_their_features(lost):
    """Noise moves by whole cells, one of both flows says that nothing does."""
    model = tracking(KnownMotion(shift=(-2., 1.), lost=lost), anchors=(0,), recent=2)
    noise = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    noise = noise.repeat(4, 0).repeat(4, 1)  # a cell of one colour
    state = model.init_state(None)
    for t in range(5):
        image = torch.from_numpy(np.roll(noise, (-4 * t, 8 * t), (0, 1)))
        frame = Frame(t, image.movedim(-1, 0)[None] / 255)
        if t == 0:
            frame.masks, frame.given, frame.valid = (
                torch.from_numpy(disc(12, (96, 128), (48, 64)))[None, None].float(),
                torch.ones(1, 1, dtype=torch.bool), torch.ones(1, 1, dtype=torch.bool))
        model.step(frame, state)
    bank = state.banks['frames']
    offset = model.offset(Frame(5, torch.from_numpy(
        np.roll(noise, (-20, 40), (0, 1))).movedim(-1, 0)[None] / 255), bank)
    inner = offset[0, :, :, 8:-8, 12:-12]
    for t, gap in enumerate(5 - index for index in bank.indices(5)):
        assert (inner[t, 0] == -2 * gap).all()
        assert (inner[t, 1] == gap).all()


@pytest.mark.parametrize('annotated', [True, False])
def test_traces_go_on_after_a_pause_without_objects(annotated):
    """Frames 4 to 7 have nothing to remember; the next one is traced to all that still is."""
    motion = KnownMotion(shift=(1., 0.))
    session = tracking(motion, recent=2, annotated=annotated).session()
    mask = disc(10, (48, 64), (24, 32))
    for t in range(10):
        if t == 4:
            session.remove([1])
        session.step(np.full((48, 64, 3), 100, np.uint8), mask if t in (0, 8) else None)
    for index, item in session.state.banks['frames'].items.items():
        torch.testing.assert_close(item.shared['trace'][0], motion.motion((12, 16), 9 - index))


def test_straight_flow_is_to_what_is_read_also_when_the_newest_frame_is_not():
    motion = KnownMotion(shift=(1., 0.))
    model = tracking(motion, anchors=(0,), recent=1, annotated=False)
    session = model.session()
    for _ in range(3):
        session.step(np.full((48, 64, 3), 100, np.uint8), disc(10, (48, 64), (24, 32)))
    bank, later = session.state.banks['frames'], Frame(6, torch.zeros(1, 3, 48, 64))
    assert bank.indices(6) == [0]
    straight, traces = model.motion(later, bank)
    torch.testing.assert_close(straight[0], motion.motion((12, 16), 6)[None])
    torch.testing.assert_close(traces[2][0], motion.motion((12, 16), 4))


def test_misfit_is_the_mean_of_a_window_within_the_map():
    """Colours in the place of features, nothing moves: squared differences of all three."""
    model = tracking(KnownMotion(), recent=1)
    rng, session = np.random.default_rng(0), model.session()
    first, second = rng.integers(0, 255, (2, 48, 64, 3)).astype(np.uint8)
    session.step(first, disc(10, (48, 64), (24, 32)))
    frame = Frame(1, torch.from_numpy(second).movedim(-1, 0)[None] / 255)
    bank = session.state.banks['frames']
    out = model.misfit(frame, bank, torch.zeros(1, 1, 2, 12, 16))
    each = (model.features(frame) - bank.read('key', 1)[:, :, 0]).square().mean(1)[0]
    for y, x in ((0, 0), (5, 7), (11, 2)):
        window = each[max(0, y - 3):y + 4, max(0, x - 3):x + 4]
        assert out[0, 0, 0, y, x].item() == pytest.approx(window.mean().item(), rel=1e-5)


def test_tracking_needs_the_newest_frame():
    with pytest.raises(ValueError, match='expected recent >= 1 in memory, got 0'):
        build(TrackingMAMP, memory=dict(type='FrameBank', anchors=(0,), recent=0))


def test_unknown_upsampling():
    with pytest.raises(ValueError, match='half_pixel'):
        MAMP(**{**MAMP.example, 'upsample': 'nearest'})


def test_late_object_survives_references_that_did_not_know_it():
    """A static scene: five references know the object as background, one as an object."""
    model = propagator('kernel_centre', anchors=(0, 5), recent=3, gap=2)
    session, image = model.session(), np.full((64, 96, 3), 100, np.uint8)
    first, late = disc(8, (64, 96), (32, 20)), disc(12, (64, 96), (32, 60)) * 2
    for t in range(9):
        labels = session.step(image, first if t == 0 else late if t == 6 else None)
    for k, mask in ((1, first), (2, late)):
        union = ((labels == k) | (mask == k)).sum()
        assert ((labels == k) & (mask == k)).sum() / union > 0.75


@torch.no_grad()
def test_a_late_object_in_a_channel_that_another_sample_uses():
    """A batch gives what its videos give alone, also where K does not grow."""
    memory = dict(type='FrameBank', recent=3, annotated=False)
    model = build(MAMP, memory=memory)
    videos = [FakeVideo(7, (32, 48), starts=(0, 0)), FakeVideo(7, (32, 48), starts=(0, 3), seed=1)]

    def run(*chosen):
        state = model.init_state(None)
        return [model.step(frame, state) for frame in fake_frames(chosen, 16)]
    both = run(*videos)
    for number, video in enumerate(videos):
        for batch, alone in zip(both, run(video), strict=True):
            known = alone.shape[1]
            torch.testing.assert_close(batch[number, :known], alone[0], rtol=0, atol=1e-3)
            assert batch[number, known:].sum() < 1e-3


def test_shares_of_unknown_background_by_hand():
    """Reference 0 does not know object 1 (of 0, 1): its vote is split 0.05+0.2 : 0.3."""
    background = torch.tensor([0.4, 0.2]).view(1, 2, 1, 1)
    objects = torch.tensor([0.1, 0.3]).view(1, 2, 1, 1)
    exists = torch.tensor([[1., 1.], [0., 1.]])[None]
    out = share_unknown(background, objects, exists).flatten()
    share = 0.4 / 0.55
    expected = [0.25 * share + 0.25 * 0.2 / 0.25, 0.1, 0.3 + 0.3 * share]
    assert out.tolist() == pytest.approx(expected)
    assert out.sum().item() == pytest.approx(1)


def test_released_rule_for_late_objects_is_an_option():
    """Two references say background, one says object: background wins, as in the release."""
    model = propagator('kernel_centre', anchors=(0, 5), recent=3, gap=2)
    model.share_late = MAMP(**{**MAMP.example, 'late_objects': 'background'}).share_late
    session, image = model.session(), np.full((64, 96, 3), 100, np.uint8)
    late = disc(12, (64, 96), (32, 60)) * 2
    for t in range(8):
        labels = session.step(image, disc(8, (64, 96), (32, 20)) if t == 0 else
                              late if t == 6 else None)
    assert not (labels == 2).any()
    with pytest.raises(ValueError, match='late_objects'):
        MAMP(**{**MAMP.example, 'late_objects': 'ignore'})


def test_masks_on_every_frame_do_not_fill_the_memory():
    """Only frames that introduce an object are kept for ever."""
    model = propagator(anchors=(0, 5), recent=3, gap=2)
    session, image = model.session(), np.full((32, 48, 3), 100, np.uint8)
    for t in range(30):
        session.step(image, disc(6, (32, 48), (16, 10 + t // 2)) * (1 + t // 15))
    assert sorted(session.state.banks['frames'].items) == [0, 5, 15, 25, 26, 27, 28, 29]
