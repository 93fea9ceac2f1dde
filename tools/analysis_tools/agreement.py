"""Share of pixels on which compiled matching and its reference in PyTorch give the same label.

python tools/analysis_tools/agreement.py CONFIG CHECKPOINT [--dtype bf16] [--frames N]
    [--cfg-options KEY=VALUE ...]

Both models see every video of the config's test set side by side; the compiled one remembers the
masks of the reference (in fp32, `backend='torch'`), so that a difference is one of a single frame.
"""
import argparse
import copy
from contextlib import closing
from functools import partial
from unittest import mock

import numpy as np
import torch
from mmengine.config import DictAction
from prettytable import PrettyTable

from mmvos.apis import (
    exit_with_message,
    find_checkpoint,
    load_config,
    load_weights,
    setup,
    use_dtype,
)
from mmvos.models import VideoSegmentor
from mmvos.models.matching_heads import local
from mmvos.ops import local_propagation
from mmvos.registry import DATASETS, MODELS

IN_TORCH = mock.patch.object(local, 'local_propagation',
                             partial(local_propagation, backend='torch'))


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('checkpoint', help='a .pth file, or the name of a shipped model')
    parser.add_argument('--dtype', choices=['fp32', 'bf16'], default='fp32',
                        help='of the compiled side')
    parser.add_argument('--frames', type=int, help='of each video; all by default')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='K=V')
    return parser.parse_args()


class Follower:
    """Segments on its own and remembers what another model segmented."""

    def __init__(self, model: VideoSegmentor) -> None:
        self.model = model
        self.segment = model.segment
        self.labels: np.ndarray | None = None
        self.logits: torch.Tensor | None = None
        model.segment = self._segment

    def _segment(self, frame, state):
        self.labels = self.segment(frame, state).argmax(1)[0].numpy()
        return self.logits


@torch.no_grad()
def compare(leader: VideoSegmentor, follower: Follower, item: dict,
            frames: int | None) -> tuple[int, int]:
    """Pixels with one label and all pixels of a video, frames with given masks left out."""
    logits = []
    segment = leader.segment
    leader.segment = lambda *args: logits.append(segment(*args)) or logits[-1]
    video, given_masks = item['inputs'], item['data_samples'].given
    sessions = leader.session(video), follower.model.session(video)
    same = total = 0
    with closing(video.frames()) as images:
        for index, image in enumerate(images):
            if index == frames:
                break
            given = given_masks.get(index)
            with IN_TORCH:
                sessions[0].step(image, given)
            follower.logits = logits[-1] if logits else None
            sessions[1].step(image, given)
            if given is None and logits:
                labels = logits[-1].argmax(1)[0].numpy()
                same += int((labels == follower.labels).sum())
                total += labels.size
            logits.clear()
    leader.segment = segment
    return same, total


def main() -> None:
    """Compare and print."""
    args = parse_args()
    setup()
    cfg = load_config(args.config, args.cfg_options)
    leader = MODELS.build(cfg.model).eval()
    load_weights(leader, find_checkpoint(args.checkpoint))
    model = copy.deepcopy(leader)
    use_dtype(model, args.dtype)
    follower = Follower(model)
    table = PrettyTable(['video', 'pixels', 'other label', 'same label'])
    table.align = 'r'
    sums = np.zeros(2, np.int64)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    for index in range(len(dataset)):
        item = dataset[index]
        same, total = compare(leader, follower, item, args.frames)
        sums += same, total
        table.add_row([item['data_samples'].video_name, total, total - same,
                       f'{same / max(total, 1):.6%}'])
    table.add_row(['all', sums[1], sums[1] - sums[0], f'{sums[0] / max(sums[1], 1):.6%}'])
    print(table)


if __name__ == '__main__':
    exit_with_message(main)
