#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Eight threads on our engine, in a subvolume and in its snapshot, against their models; then btrfs check.

usage: threads.py IMAGE NODESIZE [--ops N] [--seed S] [--options "cache=BYTES ..."]

What tests/interop/work.py does without a kernel, so that it runs anywhere and under any sanitizer. IMAGE is one of
tests/lib/write_image.py; it is copied.
"""
import argparse
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), name) for name in ('interop', 'lib')]
import btrfs_image as bi  # noqa: E402
from workload import Workload  # noqa: E402


def parse():
    p = argparse.ArgumentParser()
    p.add_argument('image')
    p.add_argument('nodesize', type=int)
    p.add_argument('--ops', type=int, default=4000)
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--options', default='')
    return p.parse_args()


def test():
    args = parse()
    with bi.scratch() as top, Workload() as w:
        image = shutil.copy(args.image, f'{top}/dev.img')
        w.say('limits', args.nodesize)
        w.say('options', *args.options.split())
        w.say('set', 'a', 'volume/work', 4)
        w.say('set', 'b', 'snap/work' if snapshot(image) else 'other', 4)
        for number in range(2):
            print(w.say('engine', image, args.ops // 2, args.seed + number, 'a', 'b'))
            bi.run('btrfs', 'check', '--check-data-csum', image, quiet=True)
        w.say('verify-engine', image, 'a', 'b')


def snapshot(image):
    """Images that were not made by the kernel have none."""
    text = bi.run('btrfs', 'inspect-internal', 'dump-tree', '-t', 'root', image)
    return b'name: snap' in text


if __name__ == '__main__':
    bi.main(test)
