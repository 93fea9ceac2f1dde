"""How the masks of one video become object ids, where that is certain."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..colours import Colour, map_colours
from ..errors import InputError
from ..images import open_image
from ..masks import SIZE_TOLERANCE, fit_mask, labels_of
from .facts import DAVIS_COLOURS, HALF, MaskFacts, Size, as_grey, shown_levels

_READABLE = ('empty', 'ids', 'black-white', 'soft', 'colours')


@dataclass(frozen=True)
class Plan:
    """What all masks of a video have in common.

    Attributes:
        way: 'ids' (they are read as they are), 'one object' (all that is bright), 'colours' (by
            ``table``) or 'none' (masks of several kinds: only those with ids are certain).
        table: {colour: id}.
    """

    way: str
    table: dict[Colour, int] = field(default_factory=dict)


def kind_of(mask: MaskFacts, colours: bool) -> str:
    """Return 'ids', 'black-white' or 'colours', '' for what is no kind of its own.

    ``colours`` says that some mask of the video has real colours: grey ones in RGB are of the
    same kind then.
    """
    if mask.content not in _READABLE or mask.form == 'transparent':
        return ''
    if mask.form == 'colour' and colours:
        return 'colours' if mask.colours or mask.content != 'empty' else ''
    return {'empty': '', 'soft': 'black-white'}.get(mask.content, mask.content)


def kinds_of(masks: Sequence[MaskFacts]) -> dict[str, list[MaskFacts]]:
    """Return the masks of a video by their kind, those without one left out."""
    colours = any(mask.content == 'colours' and mask.form == 'colour' for mask in masks)
    kinds: dict[str, list[MaskFacts]] = {}
    for mask in masks:
        if kind := kind_of(mask, colours):
            kinds.setdefault(kind, []).append(mask)
    return kinds


def plan_repair(masks: Sequence[MaskFacts]) -> Plan:
    """Return the one way to read all masks of a video."""
    kinds = kinds_of(masks)
    present = set(kinds)
    if present == {'colours'}:
        return Plan('colours', _colour_table(kinds['colours']))
    single = all(mask.ids == (1,) and not mask.void for mask in kinds.get('ids', ()))
    if 'black-white' in present and single and present <= {'ids', 'black-white'}:
        return Plan('one object')
    return Plan('ids' if present <= {'ids'} else 'none')


def _colour_table(masks: Sequence[MaskFacts]) -> dict[Colour, int]:
    """Return the ids of the DAVIS palette if it has all colours, else in order of appearance."""
    if all(mask.davis for mask in masks):
        return dict(DAVIS_COLOURS)
    colours = dict.fromkeys(colour for mask in masks for colour in mask.colours)
    return {colour: index for index, colour in enumerate(colours, 1)}


def certain_masks(masks: Sequence[MaskFacts], plan: Plan) -> frozenset[Path]:
    """Return the masks whose ids are certain: those that a repaired copy writes anew.

    One that shares its name with another is not, nor one that is not readable. Masks in colours
    are decoded, for only `map_colours` tells.
    """
    count = Counter(mask.stem for mask in masks)
    single = (mask for mask in masks if count[mask.stem] == 1)
    return frozenset(mask.path for mask in single if _is_certain(mask, plan))


def _is_certain(mask: MaskFacts, plan: Plan) -> bool:
    try:
        _check_certain(mask, plan)
        if plan.way == 'colours' and mask.content != 'empty':
            repaired_labels(mask, plan)
    except InputError:
        return False
    return True


def repaired_labels(mask: MaskFacts, plan: Plan, size: Size | None = None) -> np.ndarray:
    """Return the ids of a mask as (H, W) uint8.

    Args:
        mask: What was found out about it.
        plan: That of its video.
        size: (H, W) of its frame: a mask that is up to two pixels smaller or larger is extended
            or cropped, one of another size keeps it.

    Raises:
        InputError: They are not certain.
    """
    _check_certain(mask, plan)
    where = f'mask {mask.path}'
    with open_image(mask.path, where) as image:
        image.load()
        if mask.content == 'empty':
            labels = np.zeros((image.height, image.width), np.uint8)
        elif plan.way == 'colours':
            labels = map_colours(np.array(image.convert('RGB')), plan.table, where)
        else:
            grey = as_grey(image) if mask.form in ('colour', 'jpeg') else image
            assert grey is not None, 'other colours are no such content'
            soft = mask.content == 'soft'
            labels = (shown_levels(grey) >= HALF).astype(np.uint8) if soft else labels_of(
                grey, where)
    if size is None or not within_tolerance(labels.shape, size):
        return labels
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return fit_mask(labels, size, where)


def within_tolerance(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether a mask of one (H, W) is repaired on reading to another."""
    return max(abs(one[0] - other[0]), abs(one[1] - other[1])) <= SIZE_TOLERANCE


def _check_certain(mask: MaskFacts, plan: Plan) -> None:
    """Refuse a mask whose ids the plan does not tell."""
    if mask.content == 'empty' and mask.form != 'transparent':
        return
    kind = kind_of(mask, plan.way == 'colours')
    ways = {'ids': ('ids', 'one object', 'none'), 'black-white': ('one object',),
            'colours': ('colours',)}
    if plan.way not in ways.get(kind, ()) or len(plan.table) > 255:
        raise InputError(f'mask {mask.path} cannot be repaired: its object ids are not certain')
