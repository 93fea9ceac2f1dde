"""What STMA's three streams of attention cost beside one attention over all tokens.

python tools/analysis_tools/benchmark_attention.py [--height 480 --width 854] [--references 1 2 4]
    [--objects K] [--channels 768 --heads 12] [--repeat 5]

One layer on random tokens of a frame of this size. 'closed form' is the ratio of compared pairs of
tokens, K^2 + T N (N + K) + N^2 (T + 1) over ((T + 1) N + K)^2; 'counted' that of the operations of
the attention products; 'measured' that of their times, without linear layers. Runs take turns and
the fastest counts.
"""
import argparse
import time
from contextlib import contextmanager
from unittest.mock import patch

import torch
from prettytable import PrettyTable
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmvos.apis import exit_with_message
from mmvos.models.backbones import stml

KINDS = (stml.StreamAttention, stml.JointAttention)


@contextmanager
def timed_attention():
    """Seconds of all calls of `attend`, in a list."""
    seconds, attend = [], stml.attend

    def call(*args):
        began = time.perf_counter()
        found = attend(*args)
        seconds.append(time.perf_counter() - began)
        return found

    with patch.object(stml, 'attend', call):
        yield seconds


@torch.no_grad()
def measure(cells: int, references: int, args: argparse.Namespace) -> list[float]:
    """Closed, counted and measured ratio of the three streams to the joint form."""
    tokens = stml.Tokens(torch.randn(1, args.objects, args.channels),
                         torch.randn(1, references, cells, args.channels),
                         torch.randn(1, cells, args.channels))
    valid = torch.ones(1, args.objects, dtype=torch.bool)
    layers = [kind(args.channels, args.heads) for kind in KINDS]
    linear = 8 * args.channels**2 * (cells * (references + 1) + args.objects)
    counted = []
    for layer in layers:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            layer(tokens, valid)
        counted.append(counter.get_total_flops() - linear)
    best = [float('inf')] * len(KINDS)
    for _ in range(args.repeat):
        for n, layer in enumerate(layers):
            with timed_attention() as seconds:
                layer(tokens, valid)
            best[n] = min(best[n], sum(seconds))
    closed = [kind.products(cells, references, args.objects) for kind in KINDS]
    return [stream / joint for stream, joint in (closed, counted, best)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in dict(height=480, width=854, objects=3, channels=768, heads=12,
                            repeat=5).items():
        parser.add_argument(f'--{name}', type=int, default=value)
    parser.add_argument('--references', type=int, nargs='+', default=[1, 2, 4])
    args = parser.parse_args()
    if min(args.height, args.width, args.channels, args.heads, args.repeat, *args.references) < 1:
        raise ValueError('all numbers but --objects should be 1 or more')
    if args.channels % args.heads or args.objects < 0:
        raise ValueError(f'expected --channels in multiples of {args.heads} heads and --objects of '
                         f'0 or more, got {args.channels} and {args.objects}')
    cells = -(-args.height // 16) * -(-args.width // 16)
    table = PrettyTable(['references', 'tokens', 'closed form', 'counted', 'measured',
                         'measured / closed'], align='r')
    for references in args.references:
        closed, counted, measured = measure(cells, references, args)
        table.add_row([references, (references + 1) * cells + args.objects, f'{closed:.3f}',
                       f'{counted:.3f}', f'{measured:.3f}', f'{measured / closed:.2f}'])
    print(table)


if __name__ == '__main__':
    exit_with_message(main)
