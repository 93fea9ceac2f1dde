"""COSNet: parts, references and what is computed once."""
import numpy as np
import pytest
import torch

from mmvos.apis import VOSInferencer, setup
from mmvos.datasets import SyntheticVOS
from mmvos.evaluation.functional import region_similarity
from mmvos.models.losses import balanced_bce, l1_loss
from mmvos.models.segmentors import COSNet, COSNetAlone, COSNetGroup, COSNetPredictions
from mmvos.registry import MODELS
from mmvos.structures import Frame, VOSDataSample
from mmvos.testing import FakeVideo
from mmvos.testing.construction_contracts import build


@pytest.fixture(autouse=True)
def scope():
    setup()


def test_parameters_of_the_released_network():
    """81.24 M: ResNet-101, five branches of 512, W without bias, two heads, gate, static head."""
    config = dict(
        type='COSNet', geometry=dict(size=(473, 473)),
        features=dict(type='DeepLabFeatures', backbone=dict(
            type='mmseg.ResNet', depth=101, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4),
            out_indices=(3,))),
        co_attention=dict(type='VanillaCoAttention', gate_bias=False))
    with torch.device('meta'):
        model = MODELS.build(config)
        assert sum(p.numel() for p in model.parameters()) == 81_239_620
        assert sum(p.numel() for p in model.features.backbone.parameters()) == 42_500_160


def test_loss_values():
    """The example of the specification: 0.22708, 0.90832, 0.08466 and L1 0.2."""
    p, y = torch.tensor([.8, .1, .2, .3]).view(1, 1, 2, 2), torch.tensor([1., 0, 0, 0])
    pred = torch.cat([1 - p, p], 1)
    target = torch.stack([1 - y, y])[None].view(1, 2, 2, 2)
    for weighting, value in (('none', .22708), ('inverse_ratio', .90832), ('balanced', .08466)):
        assert balanced_bce(pred, target, weighting).item() == pytest.approx(value, abs=1e-5)
    assert l1_loss(pred, target).item() == pytest.approx(.2)
    empty = torch.stack([torch.ones(4), torch.zeros(4)])[None].view(1, 2, 2, 2)
    assert balanced_bce(pred, empty, 'inverse_ratio').isfinite()


@pytest.mark.parametrize('logit', [-20., 20.])
def test_what_is_surely_wrong_has_its_whole_gradient(logit):
    """d/dx of -log(1 - sigmoid(x)) is sigmoid(x), that of -log(sigmoid(x)) is sigmoid(x) - 1."""
    x = torch.full((1, 1, 1, 2), logit, requires_grad=True)
    target = torch.tensor([[1., 0], [0, 1]]).view(1, 2, 1, 2)
    balanced_bce(torch.cat([torch.zeros_like(x), x], 1).softmax(1), target, 'none').backward()
    expected = (x.detach().sigmoid() - target[:, 1:]) / 2
    torch.testing.assert_close(x.grad, expected)


@pytest.mark.parametrize(('length', 'indices'), [
    (100, [0, 20, 40, 59, 79, 99]), (6, [0, 1, 2, 3, 4, 5]), (3, [0, 1, 2]), (1, [0])])
def test_uniform_references(length, indices):
    assert build(COSNet, references=5).sample(length) == indices


def test_random_references_are_other_ones_and_the_same_twice():
    model = build(COSNet, references=3, sampling='random')
    assert model.sample(50) == model.sample(50)
    assert len(set(model.sample(50))) == 4
    assert model.sample(50) != build(COSNet, references=3).sample(50)


def known(model, video):
    """The state of a video whose reference i is i everywhere."""
    state = model.init_state(video)
    marks = torch.arange(state.shared['references'].shape[2], dtype=torch.float32)
    state.shared['references'] = marks.view(1, 1, -1, 1, 1).expand(
        1, 8, -1, *state.shared['references'].shape[-2:]).clone()
    return state


def test_a_frame_is_never_its_own_reference():
    """Of N+1 frames all are read but the frame itself, or else the nearest."""
    model, video = build(COSNet, references=2), FakeVideo(9)
    state = known(model, video)
    assert state.shared['indices'].tolist() == [0, 4, 8]
    value = torch.zeros(1, 8, 5, 6)
    for now, read in ((0, [1, 2]), (4, [0, 2]), (8, [0, 1]), (3, [0, 2]), (7, [0, 1])):
        found = model.references(value, Frame(now, torch.zeros(1, 3, 33, 41)), state)
        assert found[0, 0, :, 0, 0].tolist() == read


def test_features_are_computed_once_per_frame():
    """Nine frames, three of them references: nine runs of the encoder."""
    model, video, calls = build(COSNet, references=2), FakeVideo(9), []
    model.features.register_forward_hook(lambda *_: calls.append(1))
    sample = VOSDataSample(metainfo=dict(video_name='v', frame_names=video.frame_names,
                                         given=video.given, truth=None))
    model([video], [sample], mode='predict')
    assert len(calls) == 9


class Numbered(FakeVideo):
    """Frame t is t everywhere."""

    def read(self, index):
        return np.full((*self.size, 3), index, np.uint8)


class Number(torch.nn.Module):
    """The features of such a frame: t everywhere."""

    def forward(self, x):
        t = (x + x.new_tensor([104.00699, 116.66877, 122.67892])[:, None, None]).mean((1, 2, 3))
        return (t.view(-1, 1, 1, 1).expand(-1, 8, 5, 6),)


@pytest.mark.parametrize('sampling', ['uniform', 'consecutive'])
@pytest.mark.parametrize('knows', [True, False])
def test_which_frames_are_read(sampling, knows):
    model, video, seen = build(COSNet, references=2, sampling=sampling), Numbered(5), []
    model.features = Number()
    model.co_attention.register_forward_pre_hook(
        lambda _, args: seen.append([round(t) for t in args[1][0, 0, :, 0, 0].tolist()]))
    session = model.session(video if knows else None)
    for t in range(5):
        session.step(video.read(t))
    last = [[0], [0], [0, 1], [1, 2], [2, 3]]  # the first frame has itself
    spread = [[2, 4], [2, 4], [0, 4], [0, 4], [0, 2]]
    assert seen == (spread if knows and sampling == 'uniform' else last)
    kept = 3 if knows and sampling == 'uniform' else 2
    assert session.state.shared['references'].shape[2] == kept


def test_the_encoder_reads_bgr_without_the_mean():
    image = torch.tensor([1., 0.5, 0.]).view(1, 3, 1, 1)  # RGB
    expected = torch.tensor([-104.00699, 127.5 - 116.66877, 255 - 122.67892])
    torch.testing.assert_close(build(COSNet).encoder_input(image).flatten(), expected)


def test_fusion():
    torch.manual_seed(0)
    models = {cls: build(cls) for cls in (COSNet, COSNetPredictions, COSNetGroup)}
    weights = models[COSNet].state_dict()
    value, references = torch.randn(1, 8, 5, 6), torch.randn(1, 8, 2, 5, 6)
    for model in models.values():
        model.load_state_dict(weights)

    def of(summary):
        return models[COSNet].heads[0](torch.cat([summary, value], 1))
    with torch.no_grad():
        one, two = models[COSNet].co_attention(value, references).unbind(1)
        expected = {COSNet: of((one + two) / 2),
                    COSNetPredictions: ((of(one).sigmoid() + of(two).sigmoid()) / 2).logit(),
                    COSNetGroup: of(models[COSNet].co_attention.joint(value, references))}
        for cls, model in models.items():
            torch.testing.assert_close(model.fuse(value, references), expected[cls])


def test_without_references_the_static_head_segments():
    model, video = build(COSNetAlone), FakeVideo(3)
    image = model.geometry.to_network(video.read(1), (33, 41), torch.device('cpu'))
    state = model.init_state(video)
    assert not state.shared
    frame = Frame(1, image)
    with torch.no_grad():
        logits = model.segment(frame, state)
        value = model.features(model.encoder_input(image))[-1]
        expected = torch.nn.functional.interpolate(
            model.static_head(value), (33, 41), mode='bilinear', align_corners=False)
    torch.testing.assert_close(logits[:, 1:], expected)
    assert not logits[:, 0].any()


def clip(length):
    video = FakeVideo(length, (32, 48))
    inputs = torch.stack([torch.from_numpy(video.read(t)).permute(2, 0, 1) / 255
                          for t in range(length)])[None].expand(2, -1, -1, -1, -1)
    samples = [VOSDataSample() for _ in range(2)]
    for sample in samples:
        sample.gt_masks = torch.from_numpy(np.stack([video.labels(t) for t in range(length)]))
    return inputs, samples


def test_each_phase_trains_its_own_parts():
    model = build(COSNet).train()
    assert set(model.loss(*clip(2))) == {'loss_video', 'loss_penalty'}
    sum(model.loss(*clip(2)).values()).backward()
    assert model.static_head.weight.grad is None
    assert all(p.grad is not None for p in model.heads.parameters())
    model = build(COSNet).train()
    model.loss(*clip(1))['loss_static'].backward()
    assert all(p.grad is None for p in model.heads.parameters())
    assert all(p.grad is None for p in model.co_attention.parameters())
    with pytest.raises(ValueError, match='got clips of 3'):
        model.loss(*clip(3))


def test_loss_of_a_pair_and_of_a_single_frame():
    """Each frame with its own mask and its own head; a static frame with the loss for those."""
    model = build(COSNet, penalty=2., static_loss=dict(type='L1Loss'))
    with torch.no_grad():
        model.co_attention.diagonal.fill_(.01)  # affinities of some size
        model.co_attention.projection.weight.mul_(1.5)
        inputs, samples = clip(2)
        truth = torch.stack([sample.gt_masks for sample in samples]) > 0
        assert not torch.equal(truth[:, 0], truth[:, 1])
        values = [model.features(model.encoder_input(inputs[:, t]))[-1] for t in range(2)]
        summaries = model.co_attention.both(*values)
        logits = [head(torch.cat(pair, 1)) for head, *pair in
                  zip(model.heads, summaries, values, strict=True)]
        found, static = model.loss(inputs, samples), model.loss(*clip(1))

    def pairs(logits, truth):
        p = torch.nn.functional.interpolate(logits, (32, 48), mode='bilinear').sigmoid()
        return torch.cat([1 - p, p], 1), torch.stack([~truth, truth], 1).float()

    expected = sum(balanced_bce(*pairs(x, truth[:, t])) for t, x in enumerate(logits))
    torch.testing.assert_close(found['loss_video'], expected)
    torch.testing.assert_close(found['loss_penalty'], 2 * model.co_attention.penalty())
    torch.testing.assert_close(static['loss_static'],
                               l1_loss(*pairs(model.static_head(values[0]), truth[:, 0])))


def test_clips_without_an_object_train():
    model = build(COSNet).train()
    for length in (1, 2):
        inputs, samples = clip(length)
        for sample in samples:
            sample.gt_masks.zero_()
        losses = model.loss(inputs, samples)
        sum(losses.values()).backward()
        assert all(torch.isfinite(loss) for loss in losses.values())
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match='size=\\(473, 473\\)'):
        build(COSNet, geometry=dict(divisor=8))
    with pytest.raises(ValueError, match='sampling'):
        build(COSNet, sampling='even')
    with pytest.raises(ValueError, match='finds objects by itself'):
        VOSInferencer(build(COSNet))(FakeVideo(2), FakeVideo(2).labels(0), progress=False)


def test_inferencer_without_masks(tmp_path):
    result = VOSInferencer(build(COSNet))(FakeVideo(3), out_dir=tmp_path / 'out', progress=False)
    assert len(result.masks) == 3
    assert result.masks[2].shape == (33, 47)
    assert len(list((tmp_path / 'out/masks').iterdir())) == 3


@pytest.mark.slow
def test_overfits_one_clip():
    """J > 0.95 on one clip of SyntheticVOS within 350 updates; cells are 8 pixels wide."""
    torch.manual_seed(0)
    video = SyntheticVOS(num_videos=1, length=6, size=(144, 216), seed=3).videos[0]
    truth = np.stack([video.labels(t) > 0 for t in range(6)])
    model = build(COSNet, geometry=dict(size=(144, 216)), references=3,
                  features=dict(type='DeepLabFeatures', in_channels=128, channels=32,
                                out_channels=32, backbone=dict(
                                    type='mmseg.ResNet', depth=18, base_channels=16,
                                    stem_channels=16, strides=(1, 2, 1, 1),
                                    dilations=(1, 1, 2, 4), out_indices=(3,))),
                  co_attention=dict(type='SymmetricCoAttention', channels=32)).train()
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    images = torch.stack([torch.from_numpy(video.read(t)).permute(2, 0, 1) / 255
                          for t in range(6)])
    g = torch.Generator().manual_seed(0)
    for _ in range(350):
        pairs = torch.stack([torch.randperm(6, generator=g)[:2] for _ in range(2)])
        samples = [VOSDataSample() for _ in pairs]
        for sample, pair in zip(samples, pairs, strict=True):
            sample.gt_masks = torch.from_numpy(truth[pair.numpy()].astype(np.uint8))
        optimizer.zero_grad()
        sum(model.loss(images[pairs], samples).values()).backward()
        optimizer.step()
    result = VOSInferencer(model.eval())(video, progress=False)
    found = np.stack([result.masks[t] > 0 for t in range(6)])
    assert region_similarity(found, truth).mean() > .95
