#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The model and its generator against the kernel's btrfs: the answers that our engine is held to are Linux's.

usage: model_kernel.py [--ops N] [--seed S]

Scripts of each mix by one thread; then threads with a subtree each and a directory that they share, a snapshot of
it, work in both, and everything as the models have it after a remount.
"""
import argparse
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), 'lib')]
import btrfs_image as bi  # noqa: E402
from workload import Workload  # noqa: E402

MIXES = ('default', 'names', 'renames', 'attributes', 'slots')
OPTIONS = 'noatime'


def parse():
    p = argparse.ArgumentParser()
    p.add_argument('--ops', type=int, default=1500, help='of each of the scripts')
    p.add_argument('--seed', type=int, default=1)
    return p.parse_args()


def one_config(top, nodesize, args):
    images = bi.make_files(top, 1, 1024 * bi.MIB)
    bi.run('mkfs.btrfs', '-q', '-f', '-n', nodesize, *images, quiet=True)
    with Workload() as w:
        w.say('limits', nodesize)
        with bi.kernel_mounted(images, f'{top}/mnt', OPTIONS) as mnt:
            for i, mix in enumerate(MIXES):
                os.mkdir(f'{mnt}/{mix}')
                w.say('script-posix', f'{mnt}/{mix}', args.ops, args.seed + i, mix)
            bi.run('btrfs', 'subvolume', 'create', f'{mnt}/sub')
            w.say('set', 'a', 'sub', 4)
            print(w.say('posix', mnt, args.ops * 4, args.seed, 'a'))
            bi.run('btrfs', 'subvolume', 'snapshot', f'{mnt}/sub', f'{mnt}/snap')
            w.say('snapshot', 'a', 'b', 'snap')
            print(w.say('posix', mnt, args.ops * 4, args.seed + 1, 'a', 'b'))
        with bi.kernel_mounted(images, f'{top}/mnt', OPTIONS) as mnt:
            w.say('verify-posix', mnt, 'a', 'b')


def test():
    args = parse()
    for nodesize in (16384, 4096):
        with bi.scratch() as top:
            one_config(top, nodesize, args)
            print(f'nodes of {nodesize}: well')


if __name__ == '__main__':
    bi.need('root', 'loop devices', 'btrfs in the kernel')
    bi.own_namespace()
    bi.main(test)
