"""Checking one video, or all of a dataset."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from ..images import image_files
from .facts import FrameFacts, MaskFacts, Size, inspect_frame, inspect_mask, inspect_video
from .findings import (
    Finding,
    first_mask_findings,
    frame_findings,
    mask_findings,
    pair_findings,
    size_findings,
    strays,
    target_sizes,
    usual_size,
)
from .layouts import Layout, VideoFiles
from .repair import Plan, certain_masks, plan_repair

_WORKERS = 4
_ALL = 'tools/analysis_tools/check_dataset.py lists all such files'


@dataclass(frozen=True)
class VideoReport:
    """What was found in one video.

    Attributes:
        video: Where it is.
        frames: Number of its frames.
        masks: What each mask holds.
        findings: Errors first, then warnings, then notes.
        plan: How its masks become ids.
        certain: The masks that a repaired copy writes anew, the others are copied.
        sizes: (H, W) that each mask should have, by its name; none without frames.
    """

    video: VideoFiles
    frames: int
    masks: list[MaskFacts]
    findings: list[Finding]
    plan: Plan
    certain: frozenset[Path]
    sizes: dict[str, Size] = field(default_factory=dict)


def check_dataset(layout: Layout) -> Iterator[VideoReport]:
    """Yield the report of every video of a layout, see `find_layout`."""
    return (check_video(video) for video in layout.videos)


def check_video(video: VideoFiles) -> VideoReport:
    """Decode every frame and mask of a video and tell what is wrong.

    A few files are held in memory at a time, however long the video is.
    """
    frames = _inspect_frames(video.frames)
    masks = _in_threads(inspect_mask, image_files(video.masks))
    plan = plan_repair(masks)
    certain = certain_masks(masks, plan)
    findings = [*_missing(video, frames, masks), *frame_findings(frames),
                *mask_findings(masks, plan, certain)]
    if frames and masks:
        findings += pair_findings(frames, masks, certain)
    elif size := usual_size(masks):
        than = 'most masks of the video are'
        findings += [f for mask in masks for f in size_findings(mask, size, than=than)]
    if masks:
        findings += first_mask_findings(masks[0])
    order = ('error', 'warning', 'note')
    findings.sort(key=lambda finding: order.index(finding.severity))
    sizes = target_sizes(frames, masks)
    return VideoReport(video, len(frames), masks, findings, plan, certain, sizes)


def refuse_broken_start(frames: Path, masks: Path, first: str) -> None:
    """Refuse a video whose beginning cannot be used, as a dataset does before it gives it out.

    Two folders are listed; one frame and one mask are decoded.

    Args:
        frames: Folder of its frames.
        masks: Folder of its masks.
        first: Name, without suffix, of the first mask and its frame.

    Raises:
        InputError: That frame or mask cannot be read, the mask has no object or another size
            (by more than two pixels) or is no map of ids, or a mask has the name of no frame.
    """
    images = image_files(frames)
    labels = image_files(masks, ['.png'])
    start = [inspect_frame(path) for path in images if path.stem == first]
    given = [inspect_mask(path) for path in labels if path.stem == first]
    findings = [*strays([path.stem for path in images], labels), *frame_findings(start),
                *mask_findings(given, plan_repair(given))]
    for mask in given:
        findings += first_mask_findings(mask)
        findings += size_findings(mask, size) if (size := usual_size(start)) else ()
    for finding in findings:
        if finding.severity == 'error':
            raise InputError(f'{finding.line()} ({_ALL})')


def _inspect_frames(source: Path | None) -> list[FrameFacts]:
    if source is not None and source.is_file():
        return inspect_video(source)
    return _in_threads(inspect_frame, image_files(source))


def _in_threads(inspect: Callable, paths: Sequence[Path]) -> list:
    """Call a function for every file, a few at a time; decoding leaves the interpreter free."""
    with ThreadPoolExecutor(min(_WORKERS, os.cpu_count() or 1)) as pool:
        return list(pool.map(inspect, paths))


def _missing(video: VideoFiles, frames: Sequence[FrameFacts],
             masks: Sequence[MaskFacts]) -> Iterator[Finding]:
    """The half of a video that is not there."""
    if not frames and not video.masks_only:
        where = video.frames or video.masks
        assert where is not None, 'a video has one of the two'
        told = 'holds no frame' if video.frames else f'has masks, but {video.name} has no frames'
        yield Finding('no-frames', where, told, 'add the frames, or remove the video', 'error')
    if not masks and not video.frames_only:
        where = video.masks or video.frames
        assert where is not None, 'a video has one of the two'
        told = 'holds no mask' if video.masks else f'has frames, but {video.name} has no masks'
        yield Finding('no-masks', where, told, 'add at least the mask of its first frame, or '
                      'remove the video', 'error')
