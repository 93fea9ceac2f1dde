"""Frame in, masks out."""
from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ...io import InputError, as_labels, atomic_path, shrunk_size
from ...ops import hard_labels
from ...structures import Frame, VideoSource

if TYPE_CHECKING:
    from .base import VideoSegmentor

FORMAT = 2  # of saved sessions
Masks = np.ndarray | Mapping[int, np.ndarray]


class VOSSession:
    """Segments one video frame by frame; every other front door goes through here.

    Args:
        segmentor: The model, in eval mode (`model.eval()`).
        video: The video, if it is known as a whole; None when frames come from outside.
        size: Work at this shorter side in pixels, or at the model's `geometry.short_side` where
            that is less (never enlarges); masks come back at native size.
        keep_maps: Keep what the model saw of the last frame in `maps`: {name: (H,W,C) float32} of
            native size, C 1 or 2, see `VideoSegmentor.maps`. Empty on frames that have none.

    Raises:
        ValueError: `keep_maps` with a model that has no maps, a model in training mode, or a size
            below 1.

    Example:
        >>> session = VOSInferencer('mamp_r18').session()  # doctest: +SKIP
        >>> labels = session.step(first_image, masks=first_mask)  # doctest: +SKIP
        >>> labels = session.step(second_image)  # doctest: +SKIP
    """

    def __init__(self, segmentor: VideoSegmentor, video: VideoSource | None = None, *,
                 size: int | None = None, keep_maps: bool = False) -> None:
        if keep_maps:
            segmentor.require_maps()
        if segmentor.training:
            raise ValueError(f'{type(segmentor).__name__} is in training mode, in which a video '
                             'would change it; call its eval() first')
        if size is not None and size < 1:
            raise ValueError(f'expected a size of 1 or more, got {size}; it is the shorter side in '
                             'pixels')
        self.segmentor = segmentor
        self.keep_maps = keep_maps
        self.maps: dict[str, np.ndarray] = {}
        limits = (size, segmentor.geometry.short_side)
        self.size = min((side for side in limits if side is not None), default=None)
        self.state = segmentor.init_state(video)
        self.index = 0
        self.probs: Tensor | None = None  # (1,K+1,H',W') of the last frame, as the model has it
        # object id of each channel, in order of introduction
        self.ids = [] if segmentor.needs_mask else [*range(1, segmentor.num_slots + 1)]
        self.native: tuple[int, int] | None = None

    @torch.no_grad()
    def step(self, image: np.ndarray, masks: Masks | None = None) -> np.ndarray:
        """Segment the next frame.

        Args:
            image: (H,W,3) RGB uint8, the same size in every call.
            masks: Masks given on this frame: a map (H,W) of ids where 0 means no statement, or
                {id: (H,W) bool}, where an empty mask says that the object is absent. Ids 1-255; a
                map of 0 and 255 alone is object 1.

        Returns:
            (H,W) uint8 map of object ids, 0 is background.

        Raises:
            ValueError: A wrong shape, type or id; or what has to be remembered exceeds the memory:
                `remove` makes room. The session is as it was, the frame can be given again.
        """
        if masks is not None and not self.segmentor.needs_mask:
            raise self._finds_by_itself('leave the masks out')
        with self._as_it_was_on_error():
            self._check_image(image)
            given = {} if masks is None else self._split(masks)
            self.ids = self.ids + [key for key in given if key not in self.ids]
            frame = self._frame(image, given)
            self.probs = probs = self.segmentor.step(frame, self.state)
            labels = self._labels(image, probs, frame.image.shape[-2:])
            if self.keep_maps:
                self.maps = self._maps(frame)
        self.index += 1
        return paste_given(labels, {key: given[key] for key in self.ids if key in given})

    @contextmanager
    def _as_it_was_on_error(self) -> Iterator[None]:
        ids, native = self.ids, self.native
        tensors, facts = self.state.tensors(), self.state.facts()
        try:
            yield
        except BaseException:
            self.ids, self.native = ids, native
            self.state.restore(tensors, facts)  # tensors of a state are never written in place
            raise

    def remove(self, ids: Iterable[int]) -> None:
        """Forget objects and free their memory; their pixels go to what else fits them best.

        Raises:
            ValueError: There is no such object.
        """
        if not self.segmentor.needs_mask:
            raise self._finds_by_itself('leave their pixels out of its labels')
        gone = set(ids)
        if unknown := sorted(gone - set(self.ids)):
            raise ValueError(f'there is no object {unknown[0]} to remove; there are {self.ids}')
        self.state.drop([position for position, key in enumerate(self.ids) if key in gone])
        self.ids = [key for key in self.ids if key not in gone]

    def save(self, path: str | Path) -> None:
        """Write all that is remembered of the video, to go on with `load` in another process.

        The file is in the safetensors format: plain tensors, which run no code when loaded.

        Raises:
            InputError: It cannot be written.
        """
        facts = dict(model=self._model(), index=self.index, ids=self.ids, native=self.native,
                     size=self.size, state=self.state.facts())
        tensors = {key: tensor.contiguous() for key, tensor in self.state.tensors().items()}
        with atomic_path(path) as part:
            part.write_bytes(save(tensors, dict(mmvos=json.dumps(facts))))

    def load(self, path: str | Path) -> None:
        """Become the session that was saved by a model with the same config and weights.

        The next frames give bitwise the masks that they would have given there.

        Raises:
            FileNotFoundError: There is no such file.
            InputError: It is no saved session, or one of another model; this one stays as it was.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f'saved session {path} does not exist; check the path')
        try:
            with safe_open(path, 'pt', device=str(self._device())) as file:
                facts = json.loads((file.metadata() or {})['mmvos'])
                tensors = {key: file.get_tensor(key) for key in sorted(file.keys())}
            if facts['model'] != self._model():
                raise InputError(f"{path} is a session of another model, {facts['model']}, not "
                                 f'{self._model()}; load it with the config it was saved with')
            state = self.segmentor.init_state(None)
            state.restore(tensors, facts['state'])
            ids, index = [int(key) for key in facts['ids']], int(facts['index'])
            native, size = facts['native'] and tuple(facts['native']), facts['size']
            begun = state.num_objects or self.segmentor.needs_mask
            assert not begun or len(ids) == state.num_objects, 'ids of other objects'
        except InputError:
            raise
        except (SafetensorError, LookupError, TypeError, ValueError, AttributeError,
                AssertionError) as error:
            raise InputError(f'{path} is no saved session ({error}); give a file that '
                             'VOSSession.save wrote') from error
        self.state, self.index, self.ids, self.native, self.size = state, index, ids, native, size
        self.maps, self.probs = {}, None

    def _finds_by_itself(self, instead: str) -> ValueError:
        return ValueError(f'{type(self.segmentor).__name__} finds objects by itself and nobody '
                          f'gives or removes them; {instead}, or use a model that follows given '
                          'masks: mamp_r18')

    def _model(self) -> dict[str, Any]:
        """Return what must be equal where a session goes on, but for the policies of the banks."""
        model, weights = self.segmentor, sha256()
        for name, tensor in sorted(model.state_dict().items()):
            # each number would take a second of a large model
            some = tensor.detach().flatten()[::997].cpu().float().numpy()
            weights.update(f'{name} {tuple(tensor.shape)}'.encode() + some.tobytes())
        geometry = json.loads(json.dumps(asdict(model.geometry)))  # as it is when it was loaded
        return dict(format=FORMAT, method=type(model).__name__, geometry=geometry,
                    dtype='fp32' if model.autocast is None else str(model.autocast),
                    weights=weights.hexdigest()[:16])

    def _check_image(self, image: np.ndarray) -> None:
        if not isinstance(image, np.ndarray):
            raise ValueError(f'image should be an (H,W,3) array, got {type(image).__name__}; give '
                             'numpy.asarray(image)')
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError('image should be (H,W,3) RGB uint8, got '
                             f'{tuple(image.shape)} {image.dtype}')
        if self.native is None:
            self.native = image.shape[:2]
        if image.shape[:2] != self.native:
            raise ValueError(f'frame {self.index} is {image.shape[0]}x{image.shape[1]}, but the '
                             f'session began with {self.native[0]}x{self.native[1]} (HxW); '
                             'start a new session for another size')

    def _split(self, masks: Masks) -> dict[int, np.ndarray]:
        if isinstance(masks, np.ndarray):
            masks = split_ids(masks)
        if not isinstance(masks, Mapping):
            raise ValueError('masks should be an (H,W) array of ids or {id: (H,W) bool}, got '
                             f'{type(masks).__name__}; give numpy.asarray(masks)')
        for key, mask in masks.items():
            if int(key) != key or not 1 <= key <= 255:
                raise ValueError(f'object ids should lie in 1-255, got {key}; renumber the mask')
            if np.shape(mask) != self.native:
                raise ValueError(f'the mask of object {key} has shape {np.shape(mask)}, its frame '
                                 f'{self.native}; give a mask of the size of its frame')
        return {int(key): np.asarray(mask, bool) for key, mask in masks.items()}

    def _working_size(self) -> tuple[int, int]:
        if self.segmentor.geometry.size is not None:
            return self.segmentor.geometry.size
        return shrunk_size(self.native, self.size)

    def _frame(self, image: np.ndarray, given: dict[int, np.ndarray]) -> Frame:
        height, width = self._working_size()
        geometry, device = self.segmentor.geometry, self._device()
        tensor = geometry.to_network(image, (height, width), device)
        if (height, width) != self.native:
            small = {key: cv2.resize(mask.astype(np.uint8), (width, height),
                                     interpolation=cv2.INTER_NEAREST_EXACT)
                     for key, mask in given.items()}
            if lost := [key for key in given if given[key].any() and not small[key].any()]:
                warnings.warn(f'the mask of object {lost[0]} on frame {self.index} has no pixel '
                              f'left at the working size of {width}x{height}: the model does not '
                              'see it; give a larger size', stacklevel=4)
            given = small
        if not given:
            return Frame(self.index, tensor)
        empty = np.zeros((height, width), np.uint8)
        masks = np.stack([given.get(key, empty).astype(np.uint8) for key in self.ids])
        flags = torch.tensor([[key in given for key in self.ids]], device=device)
        return Frame(self.index, tensor, geometry.pad(torch.from_numpy(masks)[None].to(device)),
                     flags)

    def _device(self) -> torch.device:
        return self.segmentor.data_preprocessor.device

    def _labels(self, image: np.ndarray, probs: Tensor, padded: torch.Size) -> np.ndarray:
        assert probs.shape[-2:] == padded, 'segment returns maps of the size of its frame'
        native = self._to_native(probs)
        if native[:, 0].isnan().any():
            raise ValueError(f'{type(self.segmentor).__name__} predicts NaN on frame {self.index}; '
                             'its weights are not finite, or float32 is needed (dtype fp32)')
        if self.segmentor.postprocessor is not None:
            better = self.segmentor.postprocessor(image, native[0].float().cpu().numpy())
            native = torch.from_numpy(better)[None]
        channels = hard_labels(native)[0, 0].cpu().numpy()
        return np.array([0, *self.ids], np.uint8)[channels]

    def _maps(self, frame: Frame) -> dict[str, np.ndarray]:
        padded = frame.image.shape[-2:]
        found = {name: F.interpolate(values.float(), padded, mode='bilinear', align_corners=False)
                 for name, values in self.segmentor.maps(frame).items()}
        return {name: self._to_native(values)[0].permute(1, 2, 0).cpu().numpy()
                for name, values in found.items()}

    def _to_native(self, x: Tensor) -> Tensor:
        """(B,C,H,W) of the padded frame at the size of the video."""
        x = self.segmentor.geometry.crop(x, self._working_size())
        if x.shape[-2:] != self.native:
            x = F.interpolate(x, self.native, mode='bilinear', align_corners=False)
        return x


def split_ids(labels: np.ndarray) -> dict[int, np.ndarray]:
    """{id: (H,W) bool} of a map (H,W) of ids; 0 is no id."""
    labels = as_labels(labels, 'mask')
    return {int(key): labels == key for key in np.unique(labels) if key != 0}


def paste_given(labels: np.ndarray, given: Mapping[int, np.ndarray]) -> np.ndarray:
    """What the user drew comes back unchanged, whatever size the network worked at.

    Where masks overlap, the first wins, as it does in `merge_given`.
    """
    for key, mask in given.items():
        labels[(labels == key) & ~mask] = 0
    for key, mask in reversed(given.items()):
        labels[mask] = key
    return labels
