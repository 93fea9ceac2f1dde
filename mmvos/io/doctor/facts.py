"""What one frame or one mask file holds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ..colours import Colour, filled_values, palette, present_values
from ..errors import InputError
from ..images import open_image, read_image
from ..masks import labels_of
from ..video import VideoReader

Size = tuple[int, int]
#: A pixel of an anti-aliased mask belongs to its object from this level on.
HALF = 128
# Where 3x3 pixels differ by this little (JPEG: noise) between these levels, there is no edge but an
# object of its own, if that is more than this share of the bright pixels.
_FLAT = 16
_EDGE_LEVELS = slice(32, 224)
_FLAT_SHARE = 0.1
# JPEG stores grey as colours that differ by rounding only.
_GREY_SPREAD = 8
_MAX_COLOURS = 4096
# From entry 22 on it is grey, and says nothing about where a mask comes from.
_LEVELS = palette()
DAVIS_COLOURS: dict[Colour, int] = {
    (_LEVELS[3 * k], _LEVELS[3 * k + 1], _LEVELS[3 * k + 2]): k for k in range(22)}


@dataclass(frozen=True)
class FrameFacts:
    """One frame, or one frame of a video file (whose path it then has).

    Attributes:
        path: The file.
        stem: The name its mask should have.
        size: (H, W); None where it was not read or cannot be.
        digest: Of its pixels.
        error: What reading it says.
    """

    path: Path
    stem: str
    size: Size | None = None
    digest: bytes = b''
    error: str = ''


@dataclass(frozen=True)
class MaskFacts:
    """One mask.

    Attributes:
        path: The file.
        size: (H, W); None where it cannot be read.
        form: How it is stored: 'plain' (palette, grey), 'deep' (16 bits and more), 'opaque' (grey
            with an alpha that hides nothing), 'transparent', 'colour' or 'jpeg'.
        content: 'empty', 'ids', 'black-white' (0 and 255), 'soft' (one anti-aliased object),
            'shades' (other anti-aliased maps), 'colours', 'large' (no ids from 0 to 255) or
            'unreadable'.
        ids: Objects: 255 is one only in 'black-white'.
        void: It has 255 beside ids.
        colours: The colours of a 'colour' one that fill some 3x3 block, black left out, the most
            frequent first.
        davis: Every colour of a 'colour' one is of the DAVIS palette.
        error: What reading it says.
    """

    path: Path
    size: Size | None
    form: str = 'plain'
    content: str = 'unreadable'
    ids: tuple[int, ...] = ()
    void: bool = False
    colours: tuple[Colour, ...] = ()
    davis: bool = False
    error: str = ''

    @property
    def stem(self) -> str:
        """The name of its frame."""
        return self.path.stem


def inspect_frame(path: Path) -> FrameFacts:
    """Decode one image."""
    try:
        return _frame_facts(path, path.stem, read_image(path))
    except (InputError, FileNotFoundError) as error:
        return FrameFacts(path, path.stem, error=str(error))


def inspect_video(path: Path) -> list[FrameFacts]:
    """Decode a video file; its frames are named 00000, 00001, ..., as elsewhere."""
    facts: list[FrameFacts] = []
    try:
        with VideoReader(path) as reader:
            facts = [FrameFacts(path, f'{index:05d}', reader.size) for index in range(len(reader))]
            for index, image in enumerate(reader):
                facts[index] = _frame_facts(path, f'{index:05d}', image)
    except InputError as error:
        # the frames after the damage keep the size that they should have
        at = next((n for n, fact in enumerate(facts) if not fact.digest), 0)
        facts[at : at + 1] = [FrameFacts(path, f'{at:05d}', error=str(error))]
    return facts


def _frame_facts(path: Path, stem: str, image: np.ndarray) -> FrameFacts:
    digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
    return FrameFacts(path, stem, image.shape[:2], digest)


def inspect_mask(path: Path) -> MaskFacts:
    """Decode one mask and tell what it is."""
    try:
        with open_image(path, f'mask {path}') as image:
            image.load()
            return _mask_facts(path, image)
    except (InputError, FileNotFoundError) as error:
        return MaskFacts(path, None, error=str(error))


def _mask_facts(path: Path, image: Image.Image) -> MaskFacts:
    size = (image.height, image.width)
    form = form_of(image)
    if form == 'transparent':
        return MaskFacts(path, size, form, 'colours')
    if form in ('plain', 'deep', 'opaque'):
        return MaskFacts(path, size, form, **_content(image))
    grey = as_grey(image)
    if grey is None and form == 'jpeg':
        return MaskFacts(path, size, form, 'shades')
    if form == 'jpeg':
        return MaskFacts(path, size, form, _soft_content(np.array(grey)))
    told: dict = dict(content='colours') if grey is None else _content(grey)
    return MaskFacts(path, size, form, **told, **_colours_of(np.array(image.convert('RGB'))))


def form_of(image: Image.Image) -> str:
    """Return how an opened mask is stored, see `MaskFacts`."""
    if image.format in ('JPEG', 'MPO'):
        return 'jpeg'
    if image.mode == 'F' or image.mode.startswith('I'):
        return 'deep'
    if image.mode in ('1', 'L', 'P'):
        return 'plain'
    if image.mode in ('LA', 'RGBA'):
        opaque = image.getextrema()[-1] == (255, 255)
        if not opaque:
            return 'transparent'
        if image.mode == 'LA':
            return 'opaque'
    return 'colour'


def as_grey(image: Image.Image) -> Image.Image | None:
    """Return an opened image as one channel, None where its colours differ between channels."""
    if image.mode in ('L', '1'):
        return image.convert('L')
    if image.mode == 'LA':
        return image.getchannel('L')
    colours = np.array(image.convert('RGB'))
    spread = _GREY_SPREAD if image.format in ('JPEG', 'MPO') else 0
    if int((colours.max(axis=2) - colours.min(axis=2)).max()) > spread:
        return None
    return Image.fromarray(np.ascontiguousarray(colours[..., 1]))


def _content(image: Image.Image) -> dict:
    """Return the content, ids and void of a palette or grey image."""
    values = np.array(image.getchannel('L') if image.mode == 'LA' else image)
    present = present_values(values)
    present = present[present != 0]
    if not len(present):
        return dict(content='empty')
    try:
        labels = labels_of(image, 'mask')
    except InputError as error:
        if values.dtype != np.uint8 and not np.isin(present, np.arange(256)).all():
            return dict(content='large', error=str(error))
        return dict(content=_soft_content(shown_levels(image)))
    if len(present) == 1 and present[0] in (255, 65535):
        return dict(content='black-white', ids=(1,))
    ids = tuple(int(number) for number in present_values(labels) if 0 < number < 255)
    return dict(content='ids', ids=ids, void=bool(present[-1] == 255))


def shown_levels(image: Image.Image) -> np.ndarray:
    """Return the (H, W) uint8 grey levels that a palette or grey image shows."""
    if image.mode == 'P':
        return np.array(image.convert('RGB').getchannel('G'))
    values = np.array(image.getchannel('L') if image.mode == 'LA' else image)
    return values.astype(np.uint8)


def _soft_content(levels: np.ndarray) -> str:
    """Return 'soft' where (H, W) uint8 levels are one bright object with smooth edges."""
    if levels.max() < _EDGE_LEVELS.start:
        # the noise of a black JPEG
        return 'shades' if levels.max() > _GREY_SPREAD else 'empty'
    block = np.ones((3, 3), np.uint8)
    flat = cv2.dilate(levels, block) - cv2.erode(levels, block) <= _FLAT
    flat &= (levels >= _EDGE_LEVELS.start) & (levels < _EDGE_LEVELS.stop)
    bright = (levels >= HALF).sum()
    return 'soft' if bright and flat.sum() <= _FLAT_SHARE * bright else 'shades'


def _colours_of(image: np.ndarray) -> dict:
    """Return the solid colours of (H, W, 3) uint8, and whether all are of the DAVIS palette."""
    packed = image.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    codes, counts = np.unique(packed, return_counts=True)
    if len(codes) > _MAX_COLOURS:
        return {}
    filled = filled_values(packed)
    order = [int(code) for code in codes[np.argsort(-counts, kind='stable')]]
    colours = {code: (code >> 16, code >> 8 & 255, code & 255) for code in order}
    return dict(colours=tuple(colours[code] for code in order if code and code in filled),
                davis=all(colour in DAVIS_COLOURS for colour in colours.values()))
