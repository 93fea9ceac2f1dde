"""Writes the videos of a DAVIS-layout folder as H.264 files that browsers play.

Example:
    python tools/dataset_converters/davis_to_video.py data/DAVIS --out videos --only dog cows
    python tools/dataset_converters/davis_to_video.py data/DAVIS --out shown --overlay results
"""
import argparse
from pathlib import Path

import numpy as np

from mmvos.apis import exit_with_message
from mmvos.io import InputError, VideoWriter, read_mask
from mmvos.structures import FrameFolder
from mmvos.visualization import overlay


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('data_root', type=Path, help='folder that holds JPEGImages')
    parser.add_argument('--out', required=True, type=Path, help='folder for <video>.mp4')
    parser.add_argument('--only', nargs='+', metavar='VIDEO', help='names of videos (default: all)')
    parser.add_argument('--overlay', type=Path, metavar='DIR',
                        help='draw the masks DIR/<video>/<frame>.png, those of tools/test.py --out '
                        'or DATA_ROOT/Annotations/480p; frames without a mask stay as they are')
    parser.add_argument('--fps', type=float, default=24)
    parser.add_argument('--resolution', default='480p', help='name of the folder in JPEGImages')
    return parser.parse_args()


def find_videos(folder: Path, only: list[str] | None) -> list[Path]:
    """Folders of frames, sorted, or those that are named."""
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder.resolve()} does not exist; expected the layout '
                                'DATA_ROOT/JPEGImages/<resolution>/<video>, see --resolution')
    names = sorted(path.name for path in folder.iterdir()
                   if path.is_dir() and not path.name.startswith('.'))
    missing = [name for name in only or () if name not in names]
    if missing:
        raise InputError(f'{folder} has no video {missing[0]}; it has {", ".join(names)}')
    if not names:
        raise InputError(f'{folder} holds no folder of frames')
    return [folder / name for name in only or names]


def drawn(image: np.ndarray, mask: Path) -> np.ndarray:
    """The image with its mask, if there is one."""
    if not mask.is_file():
        return image
    return overlay(image, read_mask(mask, image.shape[:2]))


def convert(frames: Path, args: argparse.Namespace) -> str:
    """Write one video; returns what was written, in words."""
    video = FrameFolder.from_dir(frames)
    path = args.out / f'{video.name}.mp4'
    if args.overlay and not (args.overlay / video.name).is_dir():
        raise InputError(f'no masks for video {video.name}: {args.overlay / video.name} is not a '
                         'folder; check --overlay, or name the videos to draw with --only')
    with VideoWriter(path, args.fps, video.size) as writer:
        for name, image in zip(video.frame_names, video.frames(), strict=True):
            if args.overlay:
                image = drawn(image, args.overlay / video.name / f'{name}.png')
            writer.write(image)
    return f'{path}: {len(video)} frames'


def main() -> None:
    args = parse_args()
    for frames in find_videos(args.data_root / 'JPEGImages' / args.resolution, args.only):
        print(convert(frames, args), flush=True)


if __name__ == '__main__':
    exit_with_message(main)
