"""Renders a video to try the demo on: DIR/video.mp4 and DIR/mask.png, its first mask.

Example:
    python demo/render_synthetic.py work_dirs/demo/input
    python demo/video_demo.py work_dirs/demo/input/video.mp4 work_dirs/demo/input/mask.png \
        --out work_dirs/demo
"""

import argparse
from pathlib import Path

from mmvos.apis import exit_with_message
from mmvos.datasets.synthetic import SyntheticVideo
from mmvos.io import VideoWriter, atomic_write, encode_mask, make_dir


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path, metavar='DIR', help='folder for video.mp4 and mask.png')
    parser.add_argument('--frames', type=int, default=40)
    parser.add_argument('--objects', type=int, default=3, choices=range(1, 6))
    parser.add_argument('--height', type=int, default=240)
    parser.add_argument('--width', type=int, default=432)
    parser.add_argument('--seed', type=int, default=0, help='another seed, another video')
    return parser.parse_args()


def main():
    args = parse_args()
    size = (args.height, args.width)
    video = SyntheticVideo(args.seed, 0, length=args.frames, size=size, num_objects=args.objects)
    make_dir(args.out)
    with VideoWriter(args.out / 'video.mp4', video.fps, size) as writer:
        for index in range(len(video)):
            writer.write(video.read(index))
    atomic_write(args.out / 'mask.png', encode_mask(video.labels(0)))


if __name__ == '__main__':
    exit_with_message(main)
