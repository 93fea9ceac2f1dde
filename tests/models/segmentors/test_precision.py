"""Every method in float64: what exact comparisons need."""
import pytest
import torch

from mmvos.models import AGAME, MAMP, STM, MUNet
from mmvos.testing.construction_contracts import build
from mmvos.testing.fakes import FakeVideo, fake_frames


@pytest.mark.parametrize('cls', [AGAME, MAMP, MUNet, STM])
@torch.no_grad()
def test_a_method_runs_in_float64_and_gives_what_float32_does(cls):
    model, runs = build(cls), {}
    for dtype in (torch.float32, torch.float64):
        model.to(dtype)
        state, runs[dtype] = model.init_state(None), []
        for frame in fake_frames([FakeVideo(4, (32, 48), starts=(0, 2))], 16):
            frame.image = frame.image.to(dtype)
            if frame.masks is not None:
                frame.masks = frame.masks.to(dtype)
            runs[dtype].append(model.step(frame, state))
    for single, double in zip(*runs.values(), strict=True):
        assert double.dtype == torch.float64
        assert (single - double).abs().max() < 1e-3
