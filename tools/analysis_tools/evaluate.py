"""Score results: python tools/analysis_tools/evaluate.py RESULTS GROUND_TRUTH --protocol NAME."""
import argparse
from pathlib import Path

from mmvos.evaluation.attributes import attributes, attributes_table
from mmvos.evaluation.comparison import compare
from mmvos.evaluation.folders import GroundTruth, find_ground_truth, pair_folders
from mmvos.evaluation.labels import VideoPair
from mmvos.evaluation.offline import evaluate_pairs
from mmvos.evaluation.page import write_page
from mmvos.evaluation.protocols import PROTOCOLS, Protocol, build_protocol, find_protocol
from mmvos.evaluation.report import Report, write_json
from mmvos.evaluation.scoring import QUICK_START
from mmvos.io import InputError
from mmvos.io.command_line import exit_with_message

EPILOG = 'protocols:\n' + '\n'.join(f'  {name:23} {cls.counts}' for name, cls in PROTOCOLS.items())


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description='Score folders of PNGs, <video>/<frame>.png, against annotations.',
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('results', nargs='?', help='folder of the predicted masks')
    parser.add_argument('ground_truth',
                        help="folder of the annotations, or the root of the protocol's dataset")
    parser.add_argument('--protocol', required=True, metavar='NAME', help='see below')
    parser.add_argument('--compare', nargs=2, metavar=('A', 'B'),
                        help='compare two folders of results, in the place of RESULTS')
    parser.add_argument('--list', metavar='FILE', help='names of the videos, one per line')
    parser.add_argument('--meta', metavar='FILE', help='meta.json (youtube-vos)')
    parser.add_argument('--unseen', nargs='+', metavar='NAME', default=[],
                        help='what training did not see: categories (youtube-vos), videos (lvos)')
    parser.add_argument('--workers', type=int, default=2, help='processes; 0: none (default: 2)')
    parser.add_argument('--allow-missing', action='store_true',
                        help='score missing videos and frames as empty')
    parser.add_argument('--stability', action='store_true', help='temporal stability T too (slow)')
    parser.add_argument('--official-compat', action='store_true',
                        help="repeat the official tools' known defects")
    parser.add_argument('--json', metavar='FILE', help='write everything, down to each frame')
    parser.add_argument('--csv', metavar='DIR', help='write tables of videos, objects and frames')
    parser.add_argument('--html', metavar='FILE', help='write a page with plots and worst frames')
    parser.add_argument('--frames', metavar='DIR',
                        help="the videos' frames, for --html (default: JPEGImages of the dataset)")
    return parser.parse_intermixed_args()


def main() -> None:
    """Score, print, write."""
    args = parse_args()
    if (args.results is None) == (args.compare is None):
        raise InputError('expected RESULTS GROUND_TRUTH, or --compare A B GROUND_TRUTH')
    if args.compare and (args.csv or args.html):
        raise InputError('--csv and --html describe one folder of results: leave out --compare')
    if args.frames and not args.html:
        raise InputError('--frames is for the page: add --html FILE, or leave it out')
    if args.frames and not Path(args.frames).is_dir():
        raise FileNotFoundError(f'--frames {args.frames} is not a folder; check the path')
    truth = find_ground_truth(args.ground_truth, find_protocol(args.protocol), args.list)
    protocol = build_protocol(args.protocol, **options(args, truth))
    scored = [score(results, truth, protocol, args) for results in args.compare or [args.results]]
    # files first: what is printed may go to a pipe that nobody reads to its end
    if args.compare:
        comparison = compare(scored[0][0], scored[1][0], tuple(args.compare))
        if args.json:
            write_json(comparison.as_dict(), args.json)
    else:
        write(*scored[0], truth, args)
    for results, (report, _) in zip(args.compare or [args.results], scored, strict=True):
        print(f'{results}\n{report.table()}\n\n{attributes_table(attributes(report.videos))}')
    if args.compare:
        print(comparison.table())


def write(report: Report, pairs: list[VideoPair], truth: GroundTruth,
          args: argparse.Namespace) -> None:
    """Write the files that were asked for."""
    if args.json:
        write_json(report.as_dict(), args.json)
    if args.csv:
        report.write_csv(args.csv)
    if args.html:
        frames = args.frames or truth.frames
        if args.frames and not any((Path(args.frames) / pair.name).is_dir() for pair in pairs):
            raise InputError(f'--frames {args.frames} holds no folder {pairs[0].name}; expected '
                             '<video>/<frame>.jpg in it')
        write_page(report, pairs, args.html, frames=None if frames is None else Path(frames))


def options(args: argparse.Namespace, truth: GroundTruth) -> dict:
    """Of the protocol."""
    cls = find_protocol(args.protocol)
    given = {key: value for key, value in (('meta', args.meta), ('unseen', args.unseen)) if value}
    for key in given.keys() - {*cls.takes}:
        raise InputError(f'protocol {args.protocol} takes no --{key}; leave it out')
    if truth.meta and 'meta' not in given:
        given['meta'] = truth.meta
    return {'official_compat': args.official_compat, 'stability': args.stability, **given}


def score(results: str, truth: GroundTruth, protocol: Protocol,
          args: argparse.Namespace) -> tuple[Report, list[VideoPair]]:
    """Score a folder."""
    pairs = pair_folders(results, truth, protocol, allow_missing=args.allow_missing)
    report = evaluate_pairs(pairs, protocol, num_workers=args.workers, start=QUICK_START)
    return report, pairs


if __name__ == '__main__':
    exit_with_message(main)
