"""Warp, Lab and up-sampling against closed forms and OpenCV."""
import itertools

import cv2
import numpy as np
import pytest
import torch

from mmvos.ops import library, rgb_to_lab, upsample_half_pixel, upsample_kernel_centre, warp
from mmvos.ops.color import rgb_to_lab_exact

# RGB, normalised Lab (OpenCV's float conversion)
LAB = [((255, 0, 0), (0.0648, 0.6307, 0.5292)), ((0, 255, 0), (0.7548, -0.6786, 0.6549)),
       ((0, 0, 255), (-0.3541, 0.6235, -0.8493)), ((200, 120, 40), (0.1554, 0.2002, 0.4251)),
       ((255, 255, 255), (1, 0, 0)), ((0, 0, 0), (-1, 0, 0)), ((128, 128, 128), (0.0717, 0, 0))]


def constant_flow(x, y, height, width):
    return torch.tensor([x, y], dtype=torch.float32)[None, :, None, None].expand(
        1, 2, height, width)


class TestWarp:

    @pytest.mark.parametrize('size', [(120, 214), (120, 228), (90, 160), (120, 288)])
    def test_zero_flow_is_identity(self, size):
        x = torch.rand(1, 3, *size)
        out = warp(x, constant_flow(0, 0, *size))
        assert (out - x).abs().max() < 1e-4
        assert (warp(torch.ones_like(x), constant_flow(0, 0, *size)) > 0).all()

    @pytest.mark.parametrize(('flow', 'size', 'zeroed'), [
        ((3, -2), (120, 214), 782), ((3, -2), (90, 160), 584),
        ((-7, 5), (120, 214), 1875), ((-7, 5), (90, 160), 1395)])
    def test_constant_flow_is_a_shift_with_zero_fill(self, flow, size, zeroed):
        x = torch.rand(1, 2, *size) + 0.1
        out = warp(x, constant_flow(*flow, *size))
        expected = torch.zeros_like(x)
        (dx, dy), (h, w) = flow, size
        ys, xs = slice(max(0, -dy), h - max(0, dy)), slice(max(0, -dx), w - max(0, dx))
        expected[..., ys, xs] = x[..., max(0, dy):h + min(0, dy), max(0, dx):w + min(0, dx)]
        assert (out - expected).abs().max() < 1e-4
        assert int((out[0, 0] == 0).sum()) == zeroed

    def test_position_half_outside_is_zero(self):
        out = warp(torch.ones(1, 1, 4, 4), constant_flow(0.5, 0, 4, 4))
        assert (out[0, 0, :, 3] == 0).all()
        assert torch.allclose(out[0, 0, :, :3], torch.ones(4, 3))

    def test_gradcheck(self):
        x = torch.rand(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
        flow = torch.rand(1, 2, 5, 6, dtype=torch.float64) * 0.8 + 0.1
        assert torch.autograd.gradcheck(lambda t: warp(t, flow), x)

    @pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16, torch.float16])
    @pytest.mark.parametrize('autocast', [False, True])
    def test_whole_flow_copies_numbers_of_any_type(self, dtype, autocast):
        x = torch.randn(1, 3, 60, 107, generator=torch.Generator().manual_seed(0)).to(dtype)
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            out = warp(x, constant_flow(-1, 2, 60, 107))
        assert out.dtype == dtype
        assert (out[..., -2:, :] == 0).all()
        assert (out[..., 0] == 0).all()
        copied, expected = out[..., :-2, 1:], x[..., 2:, :-1]
        # positions are right to 1e-5 cells, which two neighbours that differ by 8 show
        assert (copied.double() - expected.double()).abs().max() < 1e-4
        wide = dtype in (torch.float32, torch.float64)
        assert wide or (copied == expected).double().mean() > 0.99  # 16 bits round that away

    @pytest.mark.parametrize('far', [float('nan'), float('inf'), 1e9, -20.])
    def test_far_outside_is_zero(self, far):
        flow = constant_flow(0, 0, 4, 5).clone()
        flow[0, 1, 2, 3] = far
        out = warp(torch.ones(1, 2, 4, 5), flow)
        assert (out[0, :, 2, 3] == 0).all()
        assert out.sum() == pytest.approx(38, abs=1e-4)

    def test_has_no_other_backend(self):
        x, flow = torch.ones(1, 2, 4, 5), constant_flow(0, 0, 4, 5)
        with pytest.raises(ValueError, match="warp: backend should be .* torch, cpu, got 'cuda'"):
            warp(x, flow, backend='cuda')
        with pytest.raises(ValueError, match='flow .B,2,h,w., got'):
            warp(x, flow[:, :1])


@pytest.mark.skipif(library.why_not('cpu') is not None, reason='no compiled CPU ops')
@pytest.mark.parametrize('isa', ['1', '2', '3', '4'])
class TestCompiledWarp:

    @pytest.fixture(autouse=True)
    def chosen(self, isa, monkeypatch):
        monkeypatch.setenv('MMVOS_CPU_ISA', isa)
        try:
            library.instruction_set()
        except library.LibraryError as error:
            pytest.skip(str(error))

    @pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16])
    def test_whole_flow_copies_bit_for_bit(self, dtype):
        torch.manual_seed(0)
        x, flow = torch.randn(2, 3, 9, 14).to(dtype), torch.randint(-9, 10, (2, 2, 9, 14)).double()
        expected = torch.zeros_like(x)
        for b, y, column in itertools.product(range(2), range(9), range(14)):
            sx, sy = column + int(flow[b, 0, y, column]), y + int(flow[b, 1, y, column])
            if 0 <= sx < 14 and 0 <= sy < 9:
                expected[b, :, y, column] = x[b, :, sy, sx]
        strided = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)  # channels last
        for source in (x, strided):
            assert torch.equal(warp(source, flow, backend='cpu'), expected)

    @pytest.mark.parametrize('size', [(7, 11), (1, 5), (6, 2)])
    def test_any_flow_equals_grid_sample(self, size):
        torch.manual_seed(1)
        x = torch.randn(2, 4, *size, dtype=torch.float64)
        flow = 4 * torch.randn(2, 2, *size, dtype=torch.float64)
        flow[0, 0, 0, 0], flow[0, 1, 0, -1], flow[1, 0, -1, 0] = torch.nan, torch.inf, 1e30
        # just inside and just outside the last cell, on either side of the rule's 0.9999
        flow[1, :, 0, 0] = torch.tensor([-5e-5, 0])
        flow[1, :, 0, -1] = torch.tensor([5e-5, 0])
        flow[1, :, -1, -1] = torch.tensor([0, 2e-4])
        torch.testing.assert_close(warp(x, flow, backend='cpu'), warp(x, flow, backend='torch'),
                                   rtol=1e-9, atol=1e-9)

    def test_types(self):
        x, flow = torch.rand(1, 2, 6, 7), torch.rand(1, 2, 6, 7)
        half = warp(x.bfloat16(), flow, backend='cpu')
        assert half.dtype == torch.bfloat16
        expected = warp(x.bfloat16().double(), flow.double(), backend='torch')
        assert (half.double() - expected).abs().max() < 2**-8  # one rounding of numbers below 1
        torch.testing.assert_close(warp(x, flow, backend='cpu'), warp(x, flow, backend='torch'),
                                   rtol=0, atol=1e-5)

    def test_gradients_are_pytorch_s(self):
        x, flow = torch.rand(1, 2, 6, 7, requires_grad=True), torch.rand(1, 2, 6, 7)
        assert warp(x, flow).grad_fn is not None
        with pytest.raises(ValueError, match="a gradient needs backend='torch'"):
            warp(x, flow, backend='cpu')
        torch.library.opcheck(torch.ops.mmvos.warp.default, (x.detach(), flow))


class TestLab:

    @pytest.mark.parametrize(('rgb', 'lab'), LAB)
    def test_table(self, rgb, lab):
        out = rgb_to_lab(torch.tensor(rgb)[None, :, None, None] / 255)
        assert np.allclose(out.flatten().numpy(), lab, atol=2e-3)

    def test_equals_opencv(self):
        image = torch.rand(1, 3, 64, 80, generator=torch.Generator().manual_seed(0))
        bgr = np.ascontiguousarray(image[0].permute(1, 2, 0).numpy()[..., ::-1])
        lab = cv2.cvtColor(bgr, cv2.COLOR_BGR2Lab)
        expected = (lab - (50, 0, 0)) / (50, 127, 127)
        assert np.abs(rgb_to_lab(image)[0].permute(1, 2, 0).numpy() - expected).max() < 3e-4

    def test_exact_form_equals_skimage(self):
        from skimage.color import rgb2lab
        image = np.random.default_rng(0).random((20, 30, 3))
        expected = (rgb2lab(image) - (50, 0, 0)) / (50, 127, 127)
        out = rgb_to_lab_exact(torch.from_numpy(image).permute(2, 0, 1)[None])
        assert np.abs(out[0].permute(1, 2, 0).numpy() - expected).max() < 1e-4

    def test_grey_of_the_padding_is_the_origin(self):
        assert rgb_to_lab(torch.full((1, 3, 2, 2), 0.467)).abs().max() < 1.5e-3


class TestUpsample:

    def test_ramp_is_shifted_by_half_a_cell_or_not_at_all(self):
        ramp = torch.arange(160.).expand(1, 1, 16, 160)
        sampled = ramp[..., ::4, ::4]
        half = upsample_half_pixel(sampled, (16, 160))
        centre = upsample_kernel_centre(sampled, (16, 160))
        inner = slice(8, -8)
        assert torch.allclose(half[..., inner], ramp[..., inner] - 1.5, atol=1e-4)
        assert torch.allclose(centre[..., inner], ramp[..., inner], atol=1e-4)

    @pytest.mark.parametrize('size', [(480, 856), (481, 855), (483, 857)])
    def test_kernel_centre_is_idempotent(self, size):
        cells = torch.rand(1, 2, -(-size[0] // 4), -(-size[1] // 4))
        out = upsample_kernel_centre(cells, size)
        assert out.shape[-2:] == size
        assert torch.allclose(out[..., ::4, ::4], cells, atol=1e-5)
