"""Packs results on YouTube-VOS for its server, checked, with exactly the frames of meta.json.

Example:
    python tools/test.py configs/mamp/mamp_r18_ytvos.py mamp_r18 --out results
    python tools/dataset_converters/youtube_vos_submission.py results \
        data/YouTubeVOS/valid/meta.json submission.zip
"""
import argparse
from pathlib import Path

from mmvos.evaluation.submission import write_submission
from mmvos.io.command_line import exit_with_message


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('results', type=Path, metavar='RESULTS',
                        help='folder of <video>/<frame>.png: the --out of tools/test.py')
    parser.add_argument('meta', type=Path, metavar='META_JSON', help='meta.json of the split')
    parser.add_argument('out', type=Path, metavar='OUT.zip', help='file to write')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    count = write_submission(args.results, args.meta, args.out)
    print(f'{args.out}: {count} masks')


if __name__ == '__main__':
    exit_with_message(main)
