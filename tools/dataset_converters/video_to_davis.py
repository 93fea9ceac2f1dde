"""Writes videos, and masks if there are any, in the layout of DAVIS.

Frames become OUT/JPEGImages/480p/<video>/00000.jpg, ..., masks OUT/Annotations/480p/<video>/*.png
(palette PNGs), and the names of the videos are added to OUT/ImageSets/<year>/<split>.txt. A video
appears there when all of it is written; one that is there already is refused.

Example:
    python tools/dataset_converters/video_to_davis.py dog.mp4 cat_frames/ --out data/mine \
        --masks masks --short 480
    python tools/test.py configs/mamp/mamp_r18_davis2017.py mamp_r18 \
        --cfg-options test_dataloader.dataset.data_root=data/mine
"""
import argparse
from pathlib import Path

import cv2
import numpy as np

from mmvos.apis import exit_with_message
from mmvos.io import (
    InputError,
    atomic_folders,
    atomic_write,
    encode_mask,
    make_dir,
    read_mask,
    shrunk_size,
)
from mmvos.structures import VideoFile, VideoSource, open_video


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('videos', nargs='+', type=Path, help='video files or folders of frames')
    parser.add_argument('--out', required=True, type=Path, help='folder to write to')
    parser.add_argument('--masks', type=Path, metavar='DIR',
                        help='DIR/<video>.png (first frame) or DIR/<video>/<frame>.png, the frames '
                        'of a video file being 00000, 00001, ...')
    parser.add_argument('--short', type=int, help='shorter side in px (never enlarges)')
    parser.add_argument('--every', type=int, default=1, help='keep every n-th frame')
    parser.add_argument('--quality', type=int, default=95, help='of the JPEGs, 1 to 100')
    parser.add_argument('--resolution', default='480p', help='name of the folders')
    parser.add_argument('--year', default='2017', choices=['2016', '2017'])
    parser.add_argument('--split', default='val', help='list that the videos are added to')
    return parser.parse_args()


def check(args: argparse.Namespace) -> None:
    """Refuse what would fail later, before anything is written."""
    for name, low, high in (('short', 1, None), ('every', 1, None), ('quality', 1, 100)):
        value = getattr(args, name)
        if value is not None and (value < low or high is not None and value > high):
            limits = f'{low} or more' if high is None else f'from {low} to {high}'
            raise ValueError(f'--{name} should be {limits}, got {value}')
    if args.masks and not args.masks.is_dir():
        raise FileNotFoundError(f'folder {args.masks} does not exist; check --masks')


def open_all(paths: list[Path]) -> dict[str, VideoSource]:
    """Every video by its name."""
    videos: dict[str, VideoSource] = {}
    for path in paths:
        video = open_video(path)
        if video.name in videos:
            raise ValueError(f'two videos are named {video.name}; rename {path}')
        if isinstance(video, VideoFile):
            video.close()  # many would stay open until their turn
        if any(letter.isspace() for letter in video.name):
            raise ValueError(f"'{video.name}' has a space, which the lists of DAVIS cannot hold; "
                             f'rename {path}')
        videos[video.name] = video
    return videos


def find_masks(folder: Path | None, video: VideoSource) -> dict[int, Path]:
    """{frame index: PNG} of one video."""
    if folder is None:
        return {}
    single, several = folder / f'{video.name}.png', folder / video.name
    if single.is_file():
        return {0: single}
    masks = {index: several / f'{name}.png' for index, name in enumerate(video.frame_names)}
    masks = {index: path for index, path in masks.items() if path.is_file()}
    if not masks:
        raise InputError(f'no mask for video {video.name}: expected {single} or '
                         f'{several / video.frame_names[0]}.png')
    return masks


def shrink(image: np.ndarray, short: int | None, interpolation: int) -> np.ndarray:
    size = shrunk_size(image.shape[:2], short)
    return image if size == image.shape[:2] else cv2.resize(image, size[::-1],
                                                            interpolation=interpolation)


def encode_jpeg(image: np.ndarray, quality: int) -> bytes:
    done, data = cv2.imencode('.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done, 'an RGB image can be encoded'
    return data.tobytes()


def targets(name: str, args: argparse.Namespace) -> list[Path]:
    """Folders of a video's frames and masks."""
    return [args.out / kind / args.resolution / name for kind in ('JPEGImages', 'Annotations')]


def refuse_existing(names: list[str], args: argparse.Namespace) -> None:
    """Old and new frames of a video would mix."""
    for path in (path for name in names for path in targets(name, args)):
        if path.exists():
            raise InputError(f'{path} exists already; remove it, leave out {path.name}, or choose '
                             'another folder with --out (or --resolution)')


def convert(video: VideoSource, masks: dict[int, Path], args: argparse.Namespace) -> str:
    """Write one video, whole or not at all; returns what was written, in words."""
    with atomic_folders(targets(video.name, args)) as (images, labels):
        return write_video(video, masks, images, labels, args)


def write_video(video: VideoSource, masks: dict[int, Path], images: Path, labels: Path,
                args: argparse.Namespace) -> str:
    make_dir(images)
    frames = written = 0
    for index, image in enumerate(video.frames()):
        if index % args.every:
            continue
        if index in masks:
            ids = read_mask(masks[index], video.size)
            ids = shrink(ids, args.short, cv2.INTER_NEAREST_EXACT)
            atomic_write(labels / f'{index:05d}.png', encode_mask(ids))
            written += 1
        small = shrink(image, args.short, cv2.INTER_AREA)
        atomic_write(images / f'{index:05d}.jpg', encode_jpeg(small, args.quality))
        frames += 1
    left = len(masks) - written
    return (f'{video.name}: {frames} frames, {written} masks'
            + (f' ({left} masks of frames that --every leaves out)' if left else ''))


def add_to_list(path: Path, names: list[str]) -> None:
    """Append the names that a list does not have yet."""
    old = path.read_text().split() if path.is_file() else []
    names = [*old, *(name for name in names if name not in old)]
    atomic_write(path, ''.join(f'{name}\n' for name in names).encode())


def main() -> None:
    args = parse_args()
    check(args)
    videos = open_all(args.videos)
    refuse_existing(list(videos), args)
    masks = {name: find_masks(args.masks, video) for name, video in videos.items()}
    for name, video in videos.items():
        print(convert(video, masks[name], args), flush=True)
        add_to_list(args.out / 'ImageSets' / args.year / f'{args.split}.txt', [name])


if __name__ == '__main__':
    exit_with_message(main)
