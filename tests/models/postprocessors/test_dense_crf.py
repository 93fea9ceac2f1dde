"""The CRF against closed forms and against what it is for."""
import builtins

import numpy as np
import pytest

from mmvos.models import DenseCRF

OFF = dict(smooth=(1., 0.), bilateral=(15., 7., 0.))


def probabilities(channels=2, size=(20, 30), seed=0):
    probs = np.random.default_rng(seed).random((channels, *size), np.float32)
    return probs / probs.sum(0)


def image(size=(20, 30), seed=1):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


@pytest.mark.parametrize('channels', [2, 4])
def test_without_neighbours_probabilities_stay(channels):
    """exp(-U) / sum, U = -log p, is p."""
    probs = probabilities(channels)
    np.testing.assert_allclose(DenseCRF(**OFF)(image(), probs), probs, atol=1e-5)


def test_constant_maps_stay_as_they_are():
    """No map is stretched: what is nowhere likely is painted nowhere."""
    probs = np.stack([np.full((20, 30), .9, np.float32), np.full((20, 30), .1, np.float32)])
    found = DenseCRF()(image(), probs)
    assert np.isfinite(found).all()
    assert (found.argmax(0) == 0).all()


def test_lonely_pixel_goes_with_its_neighbours():
    probs = np.full((2, 20, 30), .2, np.float32)
    probs[0] = .8
    probs[:, 10, 15] = .4, .6
    found = DenseCRF()(np.full((20, 30, 3), 128, np.uint8), probs)
    assert (found.argmax(0) == 0).all()


def test_boundary_moves_to_the_edge_of_the_image():
    """The probability crosses one half at column 12, the colour changes at column 15."""
    frame = np.zeros((20, 30, 3), np.uint8)
    frame[:, 15:] = 200
    inside = 1 / (1 + np.exp((np.arange(30, dtype=np.float32) - 11.5) / 2))
    probs = np.stack([1 - inside, inside])[:, None].repeat(20, 1)
    labels = DenseCRF()(frame, probs).argmax(0)
    assert labels[:, :15].all()
    assert not labels[:, 15:].any()


@pytest.mark.parametrize('arguments', [
    dict(iterations=0), dict(smooth=(1.,)), dict(bilateral=(15., 7.))])
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match='DenseCRF: expected iterations >= 1, two numbers'):
        DenseCRF(**arguments)


def test_absent_library_is_named(monkeypatch):
    def without(name, *args, **kwargs):
        if name.startswith('pydensecrf'):
            raise ImportError(f'No module named {name!r}')
        return found(name, *args, **kwargs)

    found = builtins.__import__
    monkeypatch.setattr(builtins, '__import__', without)
    with pytest.raises(ImportError, match=r"pip install 'mmvos\[crf\]'"):
        DenseCRF()
