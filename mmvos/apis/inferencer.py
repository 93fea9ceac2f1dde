"""A whole video in, masks out."""
from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from ..engine.hooks import frame_progress
from ..io import InBackground, decode_mask, encode_mask
from ..models.refiners import Refiner
from ..models.segmentors import VideoSegmentor, VOSSession, segment_video
from ..registry import MODELS
from ..structures import LabelMaps, VideoSource, open_video
from .checkpoint import load_weights
from .command_line import load_config, setup
from .given_masks import GivenMasks, Palette, read_given
from .model_zoo import find_checkpoint, resolve_model
from .precision import use_dtype
from .result_writer import check_inputs_kept, result_writer
from .seeding import surest_mask


@dataclass(frozen=True)
class VOSResult:
    """What `VOSInferencer` returns.

    Args:
        video_name: Name of the video.
        frame_names: One name per frame.
        masks: One (H,W) uint8 map of ids per frame; `masks[i]` decodes it.
    """

    video_name: str
    frame_names: list[str]
    masks: LabelMaps


class VOSInferencer:
    """Segments videos with a model.

    Args:
        model: A name of `list_models()`, the path of a config, a config or its `model` dict, or a
            built segmentor, which is copied where `dtype` or `refiner` changes it.
        checkpoint: Weights, or the name of a model that has some; a model given by its name brings
            its own.
        device: 'cpu', 'cuda', 'cuda:1', ...; the GPU, if there is one, by default.
        dtype: 'fp32' or 'bf16' (convolutions in bfloat16, batch norms of the backbone folded into
            them).
        size: Work at this shorter side in pixels (never enlarges); masks come back at native size.
        refiner: Config or module of a second pass over the masks of the whole video, as
            dict(type='OnlineAdaptation', time_budget=60); the model's own, if None.
        init_from: A model that finds objects by itself (`moving`), as `model` is given: where
            no mask is, its surest one is the first, and is followed to both ends of the video.
        init_checkpoint: Weights of that model, as `checkpoint` is given.

    Raises:
        ValueError: There is no such model, device or dtype, or the weights are missing or not the
            model's.
        FileNotFoundError: There is no such config or checkpoint.

    Example:
        >>> inferencer = VOSInferencer('mamp_r18')  # doctest: +SKIP
        >>> result = inferencer('dog.mp4', 'first_mask.png', 'out')  # doctest: +SKIP
        >>> result.masks[10]  # (H,W) ids of the eleventh frame  # doctest: +SKIP
    """

    def __init__(self, model: str | Path | Config | Mapping | VideoSegmentor, *,
                 checkpoint: str | Path | None = None, device: str | torch.device | None = None,
                 dtype: str = 'fp32', size: int = 480,
                 refiner: dict | Refiner | None = None,
                 init_from: str | Path | Config | Mapping | VideoSegmentor | None = None,
                 init_checkpoint: str | Path | None = None) -> None:
        if size < 1:
            raise ValueError(f'size, the shorter side in pixels, should be 1 or more, got {size}')
        setup()
        self.device = _device(device)
        self.size = size
        if isinstance(model, VideoSegmentor) and refiner is not None:
            model = copy.deepcopy(model)
        self.model = self._ready(model, checkpoint, dtype)
        if refiner is not None:
            self.model.refiner = MODELS.build(refiner)
        self.finder = None
        if init_from is not None:
            self.finder = self._ready(init_from, init_checkpoint, dtype, '--init-checkpoint')
            _check_finder(self.finder, self.model)
        elif init_checkpoint is not None:
            raise ValueError(f'init_checkpoint={str(init_checkpoint)!r} is for a model that finds '
                             'the first mask; give it as init_from, too')

    def __call__(self, video: str | Path | VideoSource, masks: GivenMasks | None = None,
                 out_dir: str | Path | None = None, *, mask_palette: Palette | None = None,
                 save_maps: bool = False, progress: bool = True) -> VOSResult:
        """Segment a video.

        Args:
            video: A video file, a folder of frames, or a video source.
            masks: The PNG or (H,W) id map of the first frame; or, for objects that appear later, a
                folder of PNGs named like their frames, {frame index: (H,W) id map} or a mask
                source. None for methods that need no mask.
            out_dir: Where to write masks/<frame>.png, overlay.mp4 and contact_sheet.png. They
                appear when all is done; a run that fails keeps what was there.
            mask_palette: Ids of the colours of masks that are colour images:
                '#ff0000=1,#00ff00=2' or {(255, 0, 0): 1, (0, 255, 0): 2}.
            save_maps: Write what the model saw besides objects, for MUNet displacement and
                uncertainty, to maps/<name>/<frame>.png and, over the frames, to maps/<name>.mp4;
                see `map_writer`.
            progress: Show frames, s/frame and the time left.

        Raises:
            FileNotFoundError: The video or a mask does not exist.
            InputError: One of them, or the output folder, cannot be used.
            ValueError: The model needs a mask, or one is for a frame that does not exist; or it
                has no maps to save, or a refiner, or there is no folder to save them in.
        """
        if save_maps:
            self.model.require_maps()
            if out_dir is None:
                raise ValueError('save_maps writes files; give out_dir, the folder of the results')
        if out_dir is not None:
            check_inputs_kept(out_dir, video, masks)
        if not isinstance(video, VideoSource):
            video = open_video(Path(video).expanduser())
        self._check_masks(masks)
        given = {} if masks is None else read_given(masks, video, mask_palette)
        names, pngs = list(video.frame_names), []
        with ExitStack() as stack:
            writer = None
            if out_dir is not None:
                writer = stack.enter_context(result_writer(
                    out_dir, video, self.model.map_names if save_maps else ()))
                later = stack.enter_context(InBackground())
            bar = stack.enter_context(_Bar(video.name, len(names), shown=progress))
            found = masks is None and self.finder is not None
            if found:
                index, png = surest_mask(self.finder, video, size=self.size, report=bar.report)
                given = {index: png}
            frames = stack.enter_context(closing(segment_video(
                self.model, video, lambda t: decode_mask(given[t]) if t in given else None,
                size=self.size, keep_maps=save_maps, both_ways=found, report=bar.report)))
            for image, labels, maps in bar.counted(frames):
                pngs.append(encode_mask(labels))
                if writer:
                    later(writer.write, len(pngs) - 1, image, labels, pngs[-1], maps)
        return VOSResult(video.name, names, LabelMaps(pngs))

    def session(self, *, keep_maps: bool = False) -> VOSSession:
        """A fresh session, frame in and masks out; see `VOSSession`.

        Raises:
            ValueError: The model has a refiner, or `init_from` is to find its first mask.
        """
        if self.finder is not None:
            raise ValueError('init_from looks at the whole video and a session has none; use '
                             'VOSInferencer(...)(video), or leave init_from out')
        return self.model.session(size=self.size, keep_maps=keep_maps)

    def _check_masks(self, masks: GivenMasks | None) -> None:
        """Raise ValueError where masks are missing, or given to a method that takes none."""
        if masks is None and self.model.needs_mask and self.finder is None:
            raise ValueError(f'{type(self.model).__name__} needs the mask of the first frame; '
                             'give masks (the command: MASK), or init_from (--init-from) to find '
                             'one')
        if masks is not None and not self.model.needs_mask:
            raise ValueError(f'{type(self.model).__name__} finds objects by itself; leave the '
                             'masks out')

    def _ready(self, model: str | Path | Config | Mapping | VideoSegmentor,
               checkpoint: str | Path | None, dtype: str,
               option: str = '--checkpoint') -> VideoSegmentor:
        """The model with its weights, to segment with; one that `dtype` changes is copied."""
        if isinstance(model, VideoSegmentor) and dtype != 'fp32':
            model = copy.deepcopy(model)
        model = _segmentor(model, checkpoint, option).to(self.device).eval()
        use_dtype(model, dtype)
        return model


class _Bar:
    """A progress bar of frames, and of what comes before them.

    Args:
        name: Of the video.
        total: Frames.
        shown: Whether to show it.
    """

    def __init__(self, name: str, total: int, *, shown: bool) -> None:
        self.name, self.total = name, total
        self.progress = frame_progress()
        self.progress.disable = not shown
        self.task = self.progress.add_task(name, total=total, unit='frames', pace='')

    def __enter__(self) -> _Bar:
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    def counted(self, frames: Iterator) -> Iterator:
        """The same frames, counted."""
        began = time.perf_counter()
        for done, frame in enumerate(frames, 1):
            yield frame
            pace = (time.perf_counter() - began) / done
            self.progress.update(self.task, completed=done, total=self.total,
                                 description=self.name, unit='frames', pace=f'{pace:.3f} s/frame')

    def report(self, what: str, done: int, total: int) -> None:
        """Show what a refiner waits for, see `segment_video`."""
        self.progress.update(self.task, completed=done, total=total, unit='',
                             description=f'{self.name}, {what}')


def _segmentor(model: str | Path | Config | Mapping | VideoSegmentor,
               checkpoint: str | Path | None, option: str) -> VideoSegmentor:
    """The model with its weights, on the CPU."""
    if isinstance(model, str | Path):
        config, weights = resolve_model(model)
        checkpoint, model = checkpoint or weights, load_config(str(config))
    if not isinstance(model, VideoSegmentor):
        scope = model.get('default_scope', 'mmvos')
        with DefaultScope.overwrite_default_scope(scope):
            model = MODELS.build(copy.deepcopy(model.get('model', model)))
        if checkpoint is None and any(p.requires_grad for p in model.parameters()):
            raise ValueError(f'{type(model).__name__} needs weights; give a checkpoint '
                             f'({option}): a .pth file, or the name of a shipped model of its kind')
    if checkpoint is not None:
        load_weights(model, find_checkpoint(checkpoint))
    return model


def _check_finder(finder: VideoSegmentor, follower: VideoSegmentor) -> None:
    """Raise ValueError unless one finds first masks for the other."""
    if finder.needs_mask or not follower.needs_mask:
        raise ValueError('init_from should find objects by itself for a model that follows masks, '
                         f'got {type(finder).__name__} for {type(follower).__name__}')


def _device(name: str | torch.device | None) -> torch.device:
    """The device, if it is there."""
    if name is None:
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device should be 'cpu', 'cuda' or 'cuda:1', got {name!r}") from error
    if device.type == 'cuda' and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {name} is not there: PyTorch sees {torch.cuda.device_count()} "
                         "CUDA GPUs; use 'cpu'")
    return device
