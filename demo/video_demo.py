"""Segments the objects of a video: python demo/video_demo.py VIDEO MASK --out DIR.

Writes DIR/masks/<frame>.png, DIR/overlay.mp4 and DIR/contact_sheet.png; with --save-maps also what
the model saw besides objects (MUNet: displacement, uncertainty) to DIR/maps/<name>/<frame>.png and,
over the frames, to DIR/maps/<name>.mp4.

Example:
    python demo/video_demo.py dog.mp4 dog_first_mask.png --out work_dirs/dog
"""

import argparse
import warnings

from mmvos.apis import VOSInferencer, exit_with_message, list_models


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.partition(':')[0])
    parser.add_argument('video', help='a video file or a folder of frames')
    parser.add_argument('mask', nargs='?',
                        help='the PNG of the first frame with one value per object, 0 is '
                        'background; or a folder of PNGs named like their frames, for objects '
                        'that appear later. None for a model that finds objects by itself, or '
                        'with --init-from')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder of the results')
    parser.add_argument('--model', default='munet_r18',
                        help=f'{", ".join(list_models())}, or the path of a config '
                        '(default: %(default)s)')
    parser.add_argument('--init-from', metavar='MODEL', help='without a mask: a model that finds '
                        'objects by itself; its surest mask is followed to both ends of the video')
    parser.add_argument('--init-checkpoint', metavar='FILE', help='other weights for that model')
    parser.add_argument('--checkpoint', metavar='FILE', help='other weights than the model\'s own')
    parser.add_argument('--device', help='cpu, cuda, cuda:1 (default: the GPU, if there is one)')
    parser.add_argument('--dtype', choices=['fp32', 'bf16'], default='fp32',
                        help='bf16: convolutions in bfloat16')
    parser.add_argument('--size', type=int, default=480, metavar='PIXELS',
                        help='work at this shorter side (default: %(default)s)')
    parser.add_argument('--mask-palette', metavar='COLOURS',
                        help="ids of the colours of a colour mask: '#ff0000=1,#00ff00=2'")
    parser.add_argument('--save-maps', action='store_true',
                        help='also write DIR/maps: what the model saw besides objects (only MUNet)')
    parser.add_argument('--adapt', type=float, nargs='?', const=float('inf'), metavar='SECONDS',
                        help='refine the masks by a network trained on this video, for so many '
                        'seconds at most if given (OnlineAdaptation: a GPU, or some minutes)')
    return parser.parse_intermixed_args()  # options may stand between video and mask


def main():
    args = parse_args()
    warnings.formatwarning = lambda message, *_, **__: f'warning: {message}\n'
    refiner = None
    if args.adapt is not None:
        refiner = dict(type='OnlineAdaptation', time_budget=args.adapt)
    inferencer = VOSInferencer(args.model, checkpoint=args.checkpoint, device=args.device,
                               dtype=args.dtype, size=args.size, refiner=refiner,
                               init_from=args.init_from, init_checkpoint=args.init_checkpoint)
    inferencer(args.video, args.mask, args.out, mask_palette=args.mask_palette,
               save_maps=args.save_maps)
    maps = f', {args.out}/maps' if args.save_maps else ''
    print(f'results: {args.out}/overlay.mp4, {args.out}/contact_sheet.png, {args.out}/masks{maps}')


if __name__ == '__main__':
    exit_with_message(main)
