"""Mixture of Gaussians per object: against NumPy loops, closed forms and torch.distributions."""
import numpy as np
import pytest
import torch
from torch.distributions import Normal

from mmvos.models.appearance_models import (
    FixedAppearance,
    GaussianAppearance,
    SoftmaxAppearance,
    UnimodalAppearance,
)
from mmvos.testing.construction_contracts import build


def random(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.fixture
def scene():
    """Features (3,4,5,6), soft masks with an empty and a full one, an older state."""
    mask = random(1, 3, 5, 6).sigmoid()
    mask[1], mask[2] = 0, 1
    return dict(features=random(0, 3, 4, 5, 6), mask=mask, mean=random(2, 3, 4, 4),
                var=random(3, 3, 4, 4).exp())


def fit(x, alpha, pseudo_count=1.):
    """Mean and variance of pixels x (M,C) with weights alpha (M,)."""
    total = alpha.sum() + pseudo_count
    mean = sum(a * pixel for a, pixel in zip(alpha, x, strict=True)) / total
    var = sum(a * (pixel - mean) ** 2 for a, pixel in zip(alpha, x, strict=True)) / total
    return mean, var + np.log1p(np.exp(-2.))


def posterior(x, means, variances):
    """(M,2) by Bayes' rule with densities, the prior is uniform."""
    density = np.stack([np.exp(-(x - m) ** 2 / (2 * v)) / np.sqrt(2 * np.pi * v)
                        for m, v in zip(means, variances, strict=True)]).prod(2)
    return (density / density.sum(0)).T


def brute_force(scene, n, rate, residual_from, pseudo_count):
    """New state of object n, by the text's alphas: hard background, then hard object."""
    x = scene['features'][n].flatten(1).T.numpy()
    old = scene['mean'][n].numpy(), scene['var'][n].numpy()
    y = scene['mask'][n].flatten().numpy()
    alphas = [1 - y, y]
    found = [fit(x, alpha, pseudo_count) for alpha in alphas]
    if residual_from == 'running':
        judges = [[(1 - rate) * old[i][k] + rate * found[k][i] for k in (0, 1)] for i in (0, 1)]
    else:
        judges = [[found[k][i] for k in (0, 1)] for i in (0, 1)]
    p = posterior(x, *judges)
    text = [np.maximum(0, alphas[k] - p[:, k]) for k in (0, 1)]
    # ours in the released order: hard object first
    found += [fit(x, alpha, pseudo_count) for alpha in (text[1], text[0])]
    return [np.stack([(1 - rate) * old[i][k] + rate * found[k][i] for k in range(4)])
            for i in (0, 1)]


@pytest.mark.parametrize('pseudo_count', [1., 0.5])
@pytest.mark.parametrize('residual_from', ['frame', 'running'])
@pytest.mark.parametrize('rate', [0.1, 1.])
def test_update_equals_loops_over_pixels(scene, rate, residual_from, pseudo_count):
    model = build(GaussianAppearance, rate=rate, residual_from=residual_from,
                  pseudo_count=pseudo_count).double()
    mean, var = model.update(**scene, fresh=torch.zeros(3, dtype=torch.bool))
    for n in range(3):
        expected = brute_force(scene, n, rate, residual_from, pseudo_count)
        np.testing.assert_allclose(mean[n].detach(), expected[0], atol=1e-10)
        np.testing.assert_allclose(var[n].detach(), expected[1], atol=1e-10)


def test_hard_components_are_those_of_the_text_exchanged(scene):
    """relu(p_k - alpha_k) = max(0, alpha_j - p_j) with j the other of the two."""
    model = build(GaussianAppearance).double()
    alphas = model.assign(scene['features'], scene['mask'], None, None)
    mean, var = model.fit(scene['features'], alphas[:, :2])
    p = model(scene['features'], mean, var).softmax(1)
    text = (alphas[:, :2] - p).clamp_min(0)
    torch.testing.assert_close(alphas[:, [3, 2]], text, rtol=0, atol=1e-12)
    assert (text > 0.01).any(-1).any(-1).any(0).all()


def test_rate_1_is_a_fresh_fit_and_rate_0_leaves_the_state(scene):
    fresh, stale = torch.ones(3, dtype=torch.bool), torch.zeros(3, dtype=torch.bool)
    anew = build(GaussianAppearance).double().update(**scene, fresh=fresh)
    always = build(GaussianAppearance, rate=1.).double().update(**scene, fresh=stale)
    never = build(GaussianAppearance, rate=0.).double().update(**scene, fresh=stale)
    for name, new, same, old in zip(('mean', 'var'), anew, always, never, strict=True):
        assert torch.equal(new, same)
        assert torch.equal(old, scene[name])
        assert not torch.allclose(new, old)


def test_a_fresh_object_forgets_and_its_neighbours_do_not(scene):
    model = build(GaussianAppearance, residual_from='running').double()
    one = model.update(**scene, fresh=torch.tensor([True, False, False]))
    none = model.update(**scene, fresh=torch.zeros(3, dtype=torch.bool))
    other = model.update(**{**scene, 'mean': scene['mean'] + 5, 'var': scene['var'] * 2},
                         fresh=torch.tensor([True, False, False]))
    for a, b, c in zip(one, none, other, strict=True):
        assert torch.equal(a[1:], b[1:])
        assert torch.equal(a[0], c[0])


@pytest.mark.parametrize(('weight', 'shrunk'), [(2.5, .714286), (1., .5), (0., 0.)])
def test_the_pseudo_pixel_shrinks_the_mean(weight, shrunk):
    """A sum of weights a at feature value 1 gives a / (1 + a)."""
    model = build(GaussianAppearance).double()
    weights = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    weights[0, 0, 0] = weight / 2
    mean, var = model.fit(torch.ones(1, 4, 2, 2, dtype=torch.float64), weights)
    torch.testing.assert_close(mean, torch.full_like(mean, shrunk), rtol=0, atol=1e-6)
    spread = weight * (1 - shrunk) ** 2 / (1 + weight)
    torch.testing.assert_close(var, torch.full_like(var, spread + .126928), rtol=0, atol=1e-6)


def test_without_pseudo_pixel_the_fit_is_the_weighted_mean_and_safe(scene):
    model = build(GaussianAppearance, pseudo_count=0.).double()
    x, mask = scene['features'], scene['mask']
    mean, _ = model.fit(x, mask[:, None])
    for n in (0, 2):
        expected = np.average(x[n].flatten(1).numpy(), axis=1, weights=mask[n].flatten().numpy())
        np.testing.assert_allclose(mean[n, 0].detach(), expected, atol=1e-12)
    assert (mean[1] == 0).all()


def test_scores_are_log_densities_up_to_a_constant(scene):
    x, mean, var = (scene[name] for name in ('features', 'mean', 'var'))
    expected = Normal(mean[..., None, None], var.sqrt()[..., None, None]).log_prob(
        x[:, None]).sum(2)
    scores = build(GaussianAppearance).double()(x, mean, var)
    gap = expected - scores
    torch.testing.assert_close(gap, torch.full_like(gap, -2 * np.log(2 * np.pi)))
    posteriors = build(SoftmaxAppearance).double()(x, mean, var)
    torch.testing.assert_close(posteriors, expected.softmax(1))


def test_the_posterior_that_finds_hard_pixels_is_that_of_the_base_model(scene):
    """Also where the scores that go on are posteriors themselves."""
    stale = torch.zeros(3, dtype=torch.bool)
    plain = build(GaussianAppearance).double().update(**scene, fresh=stale)
    softmax = build(SoftmaxAppearance).double().update(**scene, fresh=stale)
    assert all(map(torch.equal, plain, softmax))


def test_one_gaussian_each_is_the_first_half(scene):
    fresh = torch.ones(3, dtype=torch.bool)
    four = build(GaussianAppearance).double().update(**scene, fresh=fresh)
    half = {**scene, 'mean': scene['mean'][:, :2], 'var': scene['var'][:, :2]}
    two = build(UnimodalAppearance).double().update(**half, fresh=fresh)
    for all_of_them, first in zip(four, two, strict=True):
        assert torch.equal(all_of_them[:, :2], first)


def test_gradients_of_the_fit(scene):
    model, stale = build(GaussianAppearance).double(), torch.zeros(1, dtype=torch.bool)
    # object 0: at masks of 0 and 1 the hard weights have a kink
    inputs = [scene[name][:1].requires_grad_() for name in ('features', 'mask', 'mean', 'var')]

    def update(features, mask, mean, var):
        return model.update(features, mask, fresh=stale, mean=mean, var=var)

    assert torch.autograd.gradcheck(update, inputs)


def test_without_end_to_end_the_gaussians_are_constants(scene):
    fresh = torch.ones(3, dtype=torch.bool)
    scene['features'].requires_grad_()
    expected = build(GaussianAppearance).double().update(**scene, fresh=fresh)
    model = build(FixedAppearance).double()
    found = model.update(**scene, fresh=fresh)
    for fixed, learned in zip(found, expected, strict=True):
        assert torch.equal(fixed, learned)
        assert learned.requires_grad
        assert not fixed.requires_grad
    features = model.reduced(random(4, 3, 6, 2, 2))
    model(features, *found).square().sum().backward()
    assert model.reduce.weight.grad.any()  # the features of the scored frame still learn


def test_wrong_options():
    for wrong in (dict(rate=1.5), dict(pseudo_count=-1), dict(residual_from='text')):
        with pytest.raises(ValueError, match='expected rate in 0-1, pseudo_count >= 0 and resid'):
            build(GaussianAppearance, **wrong)
