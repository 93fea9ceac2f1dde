"""Contracts of mmvos for every class here, and what is ours alone."""
import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmvos_example import CosineMatching, DoublingBank
from mmvos_example.color_propagation import color_bins
from mmvos_example.loss import soft_cross_entropy

from mmvos.apis import setup
from mmvos.registry import MODELS
from mmvos.structures import VOSDataSample
from mmvos.testing import FakeVideo, contracts, fake_frames, registered

CONFIGS = Path(__file__).parents[1] / 'configs'

test_contracts = contracts('mmvos_example')  # the whole suite, for every class here


def test_all_classes_have_a_case():
    assert len(registered('mmvos_example')) == 6


def test_matching_equals_its_formula():
    g = torch.Generator().manual_seed(0)
    query, keys = torch.randn(5, 3, generator=g), torch.randn(5, 4, generator=g)
    values = torch.randn(2, 4, generator=g)
    out, mass = CosineMatching(0.1)(query[None], keys[None, None], values[None, None])
    for m in range(3):
        scores = [float(query[:, m] @ keys[:, n] / query[:, m].norm() / keys[:, n].norm())
                  for n in range(4)]
        weights = torch.tensor([math.exp(score / 0.1) for score in scores])
        expected = values @ (weights / weights.sum())
        assert torch.allclose(out[0, 0, :, m], expected, atol=1e-5)
    assert mass.sum() == pytest.approx(3)  # every query gives one


def test_memory_reads_doubling_distances():
    bank = DoublingBank(levels=4)
    for index in range(40):
        bank.add(index, shared=dict(key=torch.zeros(1, 1, 1, 1)), permanent=index == 0)
    assert bank.indices(40) == [0, 32, 36, 38, 39]
    assert len(bank.items) == 9  # frame 0 and the last 8


def test_loss_of_a_uniform_guess():
    target = torch.eye(4).view(1, 4, 2, 2)
    pred = torch.full((1, 4, 2, 2), 0.25)
    assert soft_cross_entropy(pred, target, 0.) == pytest.approx(math.log(4))


def test_grey_is_one_bin_and_red_another():
    colors = torch.tensor([[.5, .5, .5], [1., 0., 0.]])
    bins = color_bins(colors[:, :, None, None].expand(2, 3, 8, 8), (2, 2))
    assert bins.sum(1).eq(1).all()
    assert (bins.argmax(1)[0] != bins.argmax(1)[1]).all()


def test_training_lowers_the_loss():
    torch.manual_seed(0)
    setup()
    model = MODELS.build(Config.fromfile(CONFIGS / 'color_propagation.py').model)
    clips = torch.stack([f.image for f in fake_frames([FakeVideo(2, (48, 64), starts=(0, 0))])], 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(20):
        loss = model.loss(clips, [VOSDataSample()])['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_scope_config_builds():
    model = MODELS.build(Config.fromfile(CONFIGS / 'color_propagation.py').model)
    assert type(model).__module__ == 'mmvos_example.color_propagation'
