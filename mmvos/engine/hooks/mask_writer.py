"""Results as palette PNGs."""
from __future__ import annotations

from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...io import atomic_write, make_dir
from ...registry import HOOKS


@HOOKS.register_module()
class MaskWriterHook(Hook):
    """Write OUT/<video>/<frame>.png after each video of a test.

    Args:
        out_dir: Where results go; a file appears only when it is complete.
    """

    example = dict(out_dir='results')

    def __init__(self, out_dir: str) -> None:
        self.out_dir = Path(out_dir)

    def before_test(self, runner: Runner) -> None:
        """Find out now, not after the first video, whether the folder can be made."""
        make_dir(self.out_dir)

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                        outputs: list | None = None) -> None:
        """Write the videos of this batch."""
        for sample in outputs or ():
            for name, png in zip(sample.frame_names, sample.pred_masks, strict=True):
                atomic_write(self.out_dir / sample.video_name / f'{name}.png', png)
