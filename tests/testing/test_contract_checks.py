"""Each contract refuses a class that breaks it, so that passing says something."""
import numpy as np
import pytest
from mmcv.transforms import BaseTransform
from torch import nn

from mmvos.evaluation.metrics import VOSMetric
from mmvos.models import (
    MAMP,
    ColorReconstructionLoss,
    FrameBank,
    GaussianAppearance,
    LocalMatching,
    ZeroFlow,
)
from mmvos.models.segmentors import FlowPropagation
from mmvos.testing import FakeBackbone, contracts, contracts_of, registered
from mmvos.testing.component_contracts import check_memory
from mmvos.testing.contracts import role_contracts


class ManyArguments:
    def __init__(self, a, b, c, d, e, f, g, h, i):
        pass


class ManyPositional:
    def __init__(self, a, b, c):
        pass


class ChangesConfig(FrameBank):
    example = dict(anchors=[0])

    def __init__(self, anchors):
        anchors.append(5)
        super().__init__(anchors)


class DictOnly(FlowPropagation):
    def __init__(self, memory, motion_estimator):
        super().__init__(memory, dict(motion_estimator))


class RemembersOnSelf(FlowPropagation):
    calls = 0

    def segment(self, frame, state):
        logits = super().segment(frame, state)
        self.calls += 1
        return logits if self.calls % 4 else logits.flip(1)


class WritesWhileSegmenting(FlowPropagation):
    def segment(self, frame, state):
        state.shared['seen'] = frame.image.clone()
        return super().segment(frame, state)


class WritesInPlace(FlowPropagation):
    def memorize(self, frame, probs, state):
        super().memorize(frame, probs, state)
        state.shared.setdefault('calls', probs.new_zeros(1)).add_(1)


class WrongSize(FlowPropagation):
    def segment(self, frame, state):
        return super().segment(frame, state)[..., 1:, :]


class NotFinite(FlowPropagation):
    def segment(self, frame, state):
        return super().segment(frame, state) * float('nan')


class IgnoresValid(FlowPropagation):
    def segment(self, frame, state):
        return super().segment(frame, state) * 0


class MixesBatch(FlowPropagation):
    def segment(self, frame, state):
        logits = super().segment(frame, state)
        return logits.mean(0, keepdim=True).expand_as(logits)


class GrowsNot(FlowPropagation):
    def memorize(self, frame, probs, state):
        state.objects['first'] = probs[:, 1:2]
        super().memorize(frame, probs, state)


class BrightMaps(FlowPropagation):
    map_names = ('light',)

    def maps(self, frame):
        return dict(light=255 * frame.image[:, :1])


class ForgetsMaps(FlowPropagation):
    map_names = ('light',)


class UnusedWeights(MAMP):
    def __init__(self, backbone, matching_head, **kwargs):
        super().__init__(backbone, matching_head, **kwargs)
        self.unused = nn.Linear(2, 2)


class WrongGrid(FakeBackbone):
    example = {}

    def forward(self, x):
        return (self.conv(x)[..., 1:],)


class MixesObjects(LocalMatching):
    def forward(self, query, keys, values, offset=None):
        return super().forward(query, keys, values.softmax(1), offset).cumsum(1)


class MixesGaussians(GaussianAppearance):
    def forward(self, features, mean, var):
        return super().forward(features, mean[:1].expand_as(mean), var)


class VarianceOfNothing(GaussianAppearance):
    def fit(self, features, weights):
        mean, var = super().fit(features, weights)
        return mean, var - var.min()


class ReadsItself(FrameBank):
    def indices(self, now):
        return sorted(self.items)


class ForgetsAnnotations(FrameBank):
    def add(self, index, *, permanent=False, **tensors):
        super().add(index, **tensors)


class FloorGrid(ZeroFlow):
    def grid_size(self, frame):
        return frame.image.shape[-2] // self.stride, frame.image.shape[-1] // self.stride


class LikesNoise(ColorReconstructionLoss):
    def forward(self, pred, target):
        return -super().forward(pred, target)


class GlobalDraw(BaseTransform):
    example = {}

    def transform(self, results):
        np.random.rand()
        return results


class DrawPerFrame(BaseTransform):
    example = {}

    def transform(self, results):
        results['frames'] = [np.roll(frame, results['rng'].integers(1, 9), 0)
                             for frame in results['frames']]
        return results


class InPlace(BaseTransform):
    example = {}

    def transform(self, results):
        for frame in results['frames']:
            frame += 1
        return results


class EntryPerObject(VOSMetric):
    def process(self, data_batch, data_samples):
        super().process(data_batch, [*data_samples, *data_samples])


@pytest.mark.parametrize(('cls', 'name', 'message'), [
    (ManyArguments, 'arguments', '9 arguments'),
    (ManyPositional, 'arguments', 'not keyword-only: c'),
    (ChangesConfig, 'example', 'changed its arguments'),
    (RemembersOnSelf, 'interleaved', 'video . differs'),
    (RemembersOnSelf, 'state_is_whole', 'not in its state'),
    (WritesWhileSegmenting, 'segment_reads_only', 'wrote the state'),
    (WritesInPlace, 'failed_step', 'left something behind'),
    (WrongSize, 'step', 'one size|equal size'),
    (NotFinite, 'step', 'not finite'),
    (IgnoresValid, 'batch', 'differs by|not valid'),
    (MixesBatch, 'batch', 'differs by'),
    (GrowsNot, 'grow_and_drop', "expected 3 objects on axis 1, got .*objects/first"),
    (BrightMaps, 'maps', 'light lies outside of 0 to 1'),
    (ForgetsMaps, 'maps', 'lacks a map'),
    (UnusedWeights, 'loss', 'no finite gradient for unused.weight'),
    (WrongGrid, 'backbone', 'for 33x47'),
    (MixesObjects, 'local_matching', 'objects are not apart'),
    (ReadsItself, 'frame_memory', 'reads itself'),
    (ForgetsAnnotations, 'frame_memory', 'permanent item was forgotten'),
    (ForgetsAnnotations, 'memory', 'permanent elements of frame 4'),
    (MixesGaussians, 'appearance', 'objects are not apart'),
    (VarianceOfNothing, 'appearance', 'not positive'),
    (FloorGrid, 'motion', r'\(2, 1, 2, 8, 11\)'),
    (LikesNoise, 'loss_module', 'not better than noise'),
    (GlobalDraw, 'transform', "NumPy's global generator"),
    (DrawPerFrame, 'transform', 'different draws'),
    (InPlace, 'transform', 'input was changed'),
    (EntryPerObject, 'metric', '2 entries'),
], ids=lambda value: getattr(value, '__name__', None))
def test_breaking_class_is_refused(cls, name, message):
    checks = {'arguments': contracts_of(FrameBank)[0], 'example': contracts_of(FrameBank)[1]}
    if name not in checks:
        checks = {check.__name__.removeprefix('check_'): check for check in role_contracts(cls)}
    with pytest.raises((AssertionError, RuntimeError), match=message):
        checks[name](cls)


def test_slot_that_wants_a_dict_is_refused():
    with pytest.raises(TypeError):
        contracts_of(DictOnly)[2](DictOnly)


def test_class_without_a_part_is_refused():
    with pytest.raises(TypeError, match='plays no known part'):
        role_contracts(nn.Linear)


def test_class_without_an_example_is_refused():
    class Bare(FrameBank):
        example = None

    with pytest.raises(TypeError, match='Bare needs a class attribute `example`'):
        [check(Bare) for check in contracts_of(Bare) if 'memory' in check.__name__]


def test_suite_of_a_scope_without_classes_is_refused():
    with pytest.raises(ValueError, match="no class is registered in the scope 'nobody'"):
        contracts('nobody')


def test_suite_refuses_an_exception_for_an_unknown_class():
    with pytest.raises(ValueError, match='NoSuchClass'):
        contracts('mmvos', without_example=['NoSuchClass'])


def test_suite_has_every_contract_of_every_class():
    unbuilt = [name for name, cls in registered().items() if cls.example is None]
    mark, = contracts('mmvos', unbuilt).pytestmark
    cases = mark.args[1]
    assert (FrameBank, check_memory) in cases
    assert {cls.__name__ for cls, _ in cases} == set(registered())
