"""What can be wrong with one video, told from what its files hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..colours import Colour, hex_colour
from .facts import DAVIS_COLOURS, FrameFacts, MaskFacts, Size
from .repair import Plan, kinds_of, within_tolerance

Severity = Literal['error', 'warning', 'note']
_FIX = '--fix writes a repaired copy'
_SAVE = 'save object ids as a palette PNG'
_NAMED = 5


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        kind: Short name, always the same: 'mask-size'.
        path: The file or folder, the first one where there are several.
        message: What is wrong with it; reads on after the path.
        remedy: What to do.
        severity: 'error' (reading refuses it, or takes it for something else), 'warning' or
            'note' (as it should be, but good to know).
        fixable: A repaired copy does not have it.
        others: The other files with the same finding.
    """

    kind: str
    path: Path
    message: str
    remedy: str
    severity: Severity
    fixable: bool = False
    others: tuple[Path, ...] = ()

    def line(self, root: Path | None = None) -> str:
        """Return file, what is wrong and what to do, in one line; files seen from ``root``."""
        path = self.path
        if root is not None and path.is_relative_to(root) and path != root:
            path = path.relative_to(root)
        more = f' (and {len(self.others)} more)' if self.others else ''
        return ' '.join(f'{path}{more}: {self.message}; {self.remedy}'.split())


def frame_findings(frames: Sequence[FrameFacts]) -> Iterator[Finding]:
    """What is wrong with the frames of a video, the masks left aside."""
    for frame in frames:
        if frame.error:
            yield _unreadable('unreadable-frame', frame.path, frame.error)
    yield from same_names(frames, 'frame')
    sizes = [frame for frame in frames if frame.size]
    other = [frame for frame in sizes if frame.size != sizes[0].size]
    if other:
        yield Finding(
            'frame-size', other[0].path,
            f'is {_shape(other[0].size)} (width x height) but the first frame is '
            f'{_shape(sizes[0].size)}', 'give frames of one size', 'error',
            others=_other_files(other))
    again = [frame for before, frame in zip(frames, frames[1:], strict=False)
             if frame.digest and (frame.digest, frame.size) == (before.digest, before.size)]
    if again:
        stems = _names(frame.stem for frame in again)
        yield Finding(
            'duplicated-frame', again[0].path,
            f'{_count(len(again), "frame")} of {len(frames)} with the pixels of the one before '
            f'({stems})', 'take the copies out if the video should not stand still there',
            'warning', others=_other_files(again))


def same_names(facts: Sequence[FrameFacts] | Sequence[MaskFacts], what: str) -> Iterator[Finding]:
    """Files of one folder whose names differ by the suffix only."""
    seen: dict[str, Path] = {}
    for fact in facts:
        first = seen.setdefault(fact.stem, fact.path)
        if first is not fact.path:
            yield Finding(f'same-{what}-name', fact.path, f'has the same name as {first.name}',
                          'remove or rename one', 'error')


def mask_findings(masks: Sequence[MaskFacts], plan: Plan,
                  certain: Set[Path] = frozenset()) -> Iterator[Finding]:
    """What is wrong with the masks of a video, the frames left aside.

    ``certain`` are the masks that a repaired copy repairs, see `certain_masks`.
    """
    for mask in masks:
        if mask.content == 'unreadable':
            yield _unreadable('unreadable-mask', mask.path, mask.error)
    yield from same_names(masks, 'mask')
    groups: dict[tuple, list[MaskFacts]] = {}
    for mask in masks:
        if (told := _form(mask, plan)) is not None:
            groups.setdefault((*told, mask.path in certain), []).append(mask)
    for (kind, severity, message, remedy, can), group in groups.items():
        yield Finding(kind, group[0].path, message, _FIX if can else remedy, severity, can,
                      _others(group))
    yield from _mixed(masks, certain)
    yield from _objects(masks)


def _form(mask: MaskFacts, plan: Plan) -> tuple[str, Severity, str, str] | None:
    """Return kind, severity, message and remedy of how one mask is stored."""
    if mask.content == 'unreadable':
        return None
    if mask.form == 'jpeg':
        return 'jpeg-mask', 'error', 'is a JPEG, which blurs labels', _SAVE
    if mask.form == 'transparent':
        return ('transparent-mask', 'error', 'is partly transparent, so its ids are not certain',
                f'{_SAVE}, without alpha')
    if mask.form == 'colour':
        return ('colour-mask', 'error', 'is an RGB image, not a map of object ids'
                f'{_told_colours(plan.table)}', _SAVE)
    if mask.content == 'large':
        reason = mask.error.removeprefix('mask: ').rpartition(';')[0]
        return 'large-ids', 'error', f'cannot be ids: {reason}', 'number the objects from 1 to 254'
    if mask.content in ('soft', 'shades'):
        return ('soft-mask', 'error', 'looks anti-aliased: it has grey values on edges only',
                'save it without smoothing')
    if mask.form == 'deep':
        return 'deep-mask', 'warning', 'has more than 8 bits, which other tools may refuse', _SAVE
    if mask.form == 'opaque':
        return 'alpha-mask', 'warning', 'has an alpha channel, which other tools may refuse', _SAVE
    return None


def _told_colours(table: dict[Colour, int]) -> str:
    """Return what a repaired copy makes of the colours of a video."""
    if table == DAVIS_COLOURS:
        return ' (its colours are those of the DAVIS palette)'
    pairs = [f'{hex_colour(colour)} would be {number}' for colour, number in table.items()]
    return f' ({_names(pairs)})' if pairs else ''


def _mixed(masks: Sequence[MaskFacts], certain: Set[Path]) -> Iterator[Finding]:
    """Masks of several kinds in one video, or of 0 and 255 in all."""
    kinds = kinds_of(masks)
    names = {'ids': 'with ids', 'black-white': 'black and white', 'colours': 'in colours'}
    if len(kinds) > 1:
        least = min(kinds.values(), key=len)
        told = ', '.join(f'{len(group)} {names[kind]} ({group[0].path.name}, ...)'
                         for kind, group in kinds.items())
        can = all(mask.path in certain for group in kinds.values() for mask in group)
        yield Finding('mixed-masks', least[0].path, f'masks of several kinds in one video: {told}',
                      _FIX if can else 'save all as palette PNGs with the same ids (255 alone is '
                      'read as object 1)', 'error', can, _others(least))
    plain = [mask for mask in masks if mask.content == 'black-white' and mask.form == 'plain']
    if plain and len(kinds) == 1:
        yield Finding('black-and-white', plain[0].path, 'has 0 and 255 only: read as ONE object, '
                      'id 1', 'nothing to do unless there are several', 'note',
                      all(mask.path in certain for mask in plain), _others(plain))


def _objects(masks: Sequence[MaskFacts]) -> Iterator[Finding]:
    """Ids that are left out, void, and objects that come later."""
    first: dict[int, MaskFacts] = {}
    with_ids = [mask for mask in masks if mask.content == 'ids']
    for mask in with_ids:
        for number in mask.ids:
            first.setdefault(number, mask)
    gaps = sorted(set(range(1, max(first, default=0))) - set(first))
    if gaps:
        yield Finding(
            'id-gap', first[max(first)].path,
            f'the ids of the video are {_names(sorted(first))} and leave out {_names(gaps)}',
            'check that no object is lost; ids are never renumbered, that would change whose they '
            'are', 'warning')
    void = [mask for mask in with_ids if mask.void]
    if void:
        yield Finding(
            'void', void[0].path, 'has 255 beside ids: void where scores are computed, object 255 '
            'where a mask is given to a model', 'set it to 0 if no void is meant', 'warning',
            others=_others(void))
    later = {number: mask for number, mask in sorted(first.items())
             if masks and mask.path != masks[0].path}
    if later and with_ids[0].path == masks[0].path:
        told = _names(f'{number} in {mask.path.name}' for number, mask in later.items())
        yield Finding('late-object', next(iter(later.values())).path,
                      f'{_count(len(later), "object")} not in the first mask: {told}',
                      'nothing to do if they appear there', 'note')


def pair_findings(frames: Sequence[FrameFacts], masks: Sequence[MaskFacts],
                  certain: Set[Path]) -> Iterator[Finding]:
    """What is wrong between the frames and the masks of a video."""
    yield from strays([frame.stem for frame in frames], [mask.path for mask in masks])
    stems = {mask.stem for mask in masks}
    bare = [frame for frame in frames if frame.stem not in stems]
    if bare and 2 * len(bare) < len(frames):
        yield Finding(
            'frame-without-mask', bare[0].path,
            f'{_count(len(bare), "frame")} of {len(frames)} without a mask '
            f'({_names(frame.stem for frame in bare)})', 'add the masks, empty ones where no '
            'object is seen', 'warning',
            others=_other_files(bare))
    elif frames and masks and frames[0] in bare and masks[0].stem in {f.stem for f in frames}:
        yield Finding('late-first-mask', masks[0].path, f'is the first mask, but the video begins '
                      f'with frame {frames[0].stem}', 'give the mask of the first frame (DAVIS '
                      'needs it)', 'warning')
    sizes = target_sizes(frames, masks)
    for mask in masks:
        if mask.stem in sizes:
            yield from size_findings(mask, sizes[mask.stem], mask.path in certain)


def target_sizes(frames: Sequence[FrameFacts], masks: Sequence[MaskFacts]) -> dict[str, Size]:
    """Return {name of a mask: (H, W) of its frame, or of most if that cannot be read}."""
    known = {frame.stem: frame.size for frame in frames}
    usual = usual_size(frames)
    sizes = {mask.stem: known.get(mask.stem) or usual for mask in masks}
    return {stem: size for stem, size in sizes.items() if size}


def first_mask_findings(mask: MaskFacts) -> Iterator[Finding]:
    """What is wrong with a mask because it is the first of its video."""
    if mask.content == 'empty':
        yield Finding('empty-first-mask', mask.path, 'is the first mask of the video and has no '
                      'object', 'draw the objects in it, or remove it if they come later', 'error')


def strays(stems: Sequence[str], masks: Sequence[Path]) -> Iterator[Finding]:
    """Masks whose name is that of no frame."""
    known = set(stems)
    lost = [path for path in masks if path.stem not in known]
    if lost and stems:
        yield Finding('mask-without-frame', lost[0], 'has the name of no frame (they go from '
                      f'{stems[0]} to {stems[-1]})', 'give it the name of its frame, or remove it',
                      'error', others=tuple(lost[1:]))


def size_findings(mask: MaskFacts, size: Size, fix: bool = False,
                  than: str = 'its frame is') -> Iterator[Finding]:
    """A mask whose size is not the one it should have."""
    if mask.size in (None, size):
        return
    assert mask.size is not None
    told = f'is {_shape(mask.size)} (width x height) but {than} {_shape(size)}'
    if not within_tolerance(mask.size, size):
        yield Finding('mask-size', mask.path, told, 'give a mask drawn on that frame, at its size',
                      'error')
        return
    yield Finding('mask-size', mask.path, f'{told} (reading crops or extends it at its right and '
                  'bottom edge)', _FIX if fix else 'save it at its frame\'s size', 'warning', fix)


def usual_size(facts: Sequence[FrameFacts] | Sequence[MaskFacts]) -> Size | None:
    """Return the most frequent (H, W), None where nothing could be read."""
    counts = Counter(fact.size for fact in facts if fact.size)
    return counts.most_common(1)[0][0] if counts else None


def _unreadable(kind: str, path: Path, error: str) -> Finding:
    """Turn '<what> <path> <message>; <remedy>' into a finding."""
    told = error.partition(f'{path} ')[2] or error
    message, _, remedy = told.rpartition('; ')
    return Finding(kind, path, message or told, remedy if message else 'copy or export it again',
                   'error')


def _other_files(frames: Sequence[FrameFacts]) -> tuple[Path, ...]:
    """Return the files of all but the first; the frames of a video file have one in common."""
    return tuple(dict.fromkeys(frame.path for frame in frames if frame.path != frames[0].path))


def _others(group: Sequence[MaskFacts]) -> tuple[Path, ...]:
    return tuple(mask.path for mask in group[1:])


def _shape(size: Size | None) -> str:
    return 'unknown' if size is None else f'{size[1]}x{size[0]}'


def _count(number: int, noun: str) -> str:
    return f'{number} {noun}' + ('s' if number != 1 else '')


def _names(values: Iterable) -> str:
    values = [str(value) for value in values]
    more = f', ... ({len(values)} in all)' if len(values) > _NAMED else ''
    return ', '.join(values[:_NAMED]) + more
