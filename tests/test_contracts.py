"""Every registered class, built from its `example`, keeps the contracts of its part."""
import pytest

from mmvos.testing import contracts, registered

# what these need cannot stand in a class attribute: files, an optimizer, a dataset
WITHOUT_EXAMPLE = {'AlternatingLoop', 'BF16OptimWrapper', 'ClipSampler', 'DAVIS',
                   'EffectiveBatchLoop',
                   'SampleMultiStepLR', 'StillImages', 'VideoFolder',
                   'YouTubeVOS'}
CLASSES = registered()


def test_registries_hold_what_configs_name():
    assert {'MAMP', 'FrameBank', 'DISFlow', 'PackClip', 'VOSMetric'} <= set(CLASSES)


@pytest.mark.parametrize('name', sorted(CLASSES))
def test_has_example(name):
    example = getattr(CLASSES[name], 'example', '(missing)')
    if name in WITHOUT_EXAMPLE:
        assert example is None
    else:
        assert isinstance(example, dict)


test_contracts = contracts('mmvos', WITHOUT_EXAMPLE)
