"""What `use_dtype` does to a model."""
import pytest
import torch
from torch import nn

from mmvos.apis import use_dtype
from mmvos.models import AGAME, MAMP, STM
from mmvos.testing.construction_contracts import build


@torch.no_grad()
@pytest.mark.parametrize(('cls', 'names'), [
    (STM, ('query_encoder', 'memory_encoder')), (AGAME, ('backbone',)), (MAMP, ('backbone',))])
def test_batch_norms_are_folded_into_their_convolutions(cls, names):
    torch.manual_seed(0)
    model = build(cls).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias):
                tensor.normal_()
            for tensor in (module.running_var, module.weight):
                tensor.uniform_(.5, 2)
    inputs = {name: torch.rand(2, 5 if name == 'memory_encoder' else 3, 33, 47) for name in names}
    before = {name: getattr(model, name)(x) for name, x in inputs.items()}
    use_dtype(model, 'bf16')
    assert model.autocast == torch.bfloat16
    for name, x in inputs.items():
        part = getattr(model, name)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in part.modules())
        for found, expected in zip(part(x), before[name], strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="turned to 'bf16'"):
        use_dtype(model, 'fp32')
