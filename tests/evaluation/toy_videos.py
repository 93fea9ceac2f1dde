"""Small videos to score, and the measures of their masks to compare with."""
import math

import numpy as np

from mmvos.evaluation import (
    boundary_accuracy,
    build_protocol,
    evaluate_pairs,
    mean_recall_decay,
    region_similarity,
)
from mmvos.evaluation.labels import LabelPNGs, VideoPair
from mmvos.io import encode_mask

SIZE = (40, 60)
COLUMNS = ['J&F', 'J', 'J-recall', 'J-decay', 'F', 'F-recall', 'F-decay']


def bars(length, ids=(1, 2), cut=0):
    """(T, H, W): a bar of 10x40 px per id; it loses `cut` columns, so J is 1 - cut / 40.

    `cut` is a number, or one number per frame.
    """
    maps = np.zeros((length, *SIZE), np.uint8)
    for row, label in enumerate(ids):
        for labels, lost in zip(maps, np.broadcast_to(cut, length), strict=True):
            labels[2 + 12 * row:12 + 12 * row, 10:50 - lost] = label
    return maps


def as_pair(gt, pred, name='clip_1'):
    """Of (T, H, W) labels; either may be longer."""
    truth, pred = (LabelPNGs({t: encode_mask(frame) for t, frame in enumerate(maps)},
                             name, [f'{t:05d}' for t in range(len(maps))])
                   for maps in (gt, pred))
    return VideoPair(name, truth.frames, truth, pred)


def report(protocol, *pairs, **options):
    """Of (truth, prediction, name) under a protocol."""
    return evaluate_pairs([as_pair(*pair) for pair in pairs], build_protocol(protocol, **options))


def measures(gt, pred, label, frames=slice(None), other=None):
    """(2, T): J and F of the masks of a label; None is all of them."""
    gt, pred = (maps > 0 if label is None else maps == own
                for maps, own in ((gt, label), (pred, label if other is None else other)))
    return np.stack([region_similarity(pred, gt), boundary_accuracy(pred, gt)])[:, frames]


def check(found, frames, values, label):
    """The first video's object has these (2, T) values on these frames."""
    item = {item.label: item for item in found.videos[0].objects}[label]
    assert item.frames.tolist() == list(frames)
    np.testing.assert_array_equal([item.j, item.f], values)


def means(*objects):
    """The columns by their definition, from (2, T) values per object."""
    rows = [[*mean_recall_decay(j), *mean_recall_decay(f)] for j, f in objects]
    values = [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]
    return dict(zip(COLUMNS, [(values[0] + values[3]) / 2, *values], strict=True))
