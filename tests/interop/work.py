#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Our engine and the kernel change one image by turns, with many threads, and each is judged by the other.

usage: work.py [--config NAME] [--ops N] [--rounds N] [--seed S] [--options "cache=BYTES ..."] [--keep DIR]

The image, of a configuration of tests/lib/write_image.py, is aged by the kernel, snapshots included. Threads with
a subtree and a model each, and a directory that they share, work in a subvolume and in a snapshot of it, so that
blocks are shared: in each round first through the kernel's mount, then by our engine, N operations altogether.
After each round of ours btrfs check is clean, the kernel mounts without complaint and shows what the models have,
and what was aged is as it was. Every third round the kernel takes another snapshot, which must stay as it is.
"""
import argparse
import contextlib
import os
import shutil
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), 'lib')]
import btrfs_image as bi  # noqa: E402
import write_image  # noqa: E402
from workload import Workload, kernel_log  # noqa: E402

MOUNT = 'noatime,max_inline=2048'


def parse():
    p = argparse.ArgumentParser()
    p.add_argument('--config', default='dup', choices=write_image.CONFIGS)
    p.add_argument('--ops', type=int, default=20000, help='by our engine, in all rounds')
    p.add_argument('--rounds', type=int, default=2)
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--mib', type=int, default=1024)
    p.add_argument('--options', default='', help='of the engine, as workload.c has them')
    p.add_argument('--keep', help='copy the image there if it fails')
    return p.parse_args()


class Work:
    def __init__(self, args, top, w):
        self.args, self.top, self.w = args, top, w
        self.images = bi.make_files(top, 1, args.mib * bi.MIB)
        self.sets, self.still = ['a'], []
        self.started = time.monotonic()

    def done(self, what):
        print(f'{time.monotonic() - self.started:6.1f} s  {what}', flush=True)

    def mounted(self):
        return Mounted(self.images, f'{self.top}/mnt')

    def prepare(self):
        mkfs = write_image.CONFIGS[self.args.config]
        bi.run('mkfs.btrfs', '-q', '-f', *mkfs, *self.images, quiet=True)
        self.w.say('limits', mkfs[mkfs.index('-n') + 1] if '-n' in mkfs else 16384)
        with self.mounted() as mnt:
            bi.run(bi.program('ubtrfs-age'), mnt, '--ops', 250, '--seed', self.args.seed)
            bi.run('btrfs', 'subvolume', 'create', f'{mnt}/sub')
            # What the aged top hands down is not for the models to know.
            with contextlib.suppress(OSError):
                os.removexattr(f'{mnt}/sub', 'btrfs.compression')
            bi.run('chattr', '=', f'{mnt}/sub')
            self.w.say('set', 'a', 'sub', 4)
            self.w.say('posix', mnt, 3000, self.args.seed, 'a')
            self.snapshot(mnt, 'b')
            self.sets.append('b')
            self.w.say('posix', mnt, 1000, self.args.seed + 1, *self.sets)
        with self.mounted() as mnt:
            self.expected = self.walk(mnt, 'before')
        self.done('made and aged')

    def walk(self, mnt, name):
        return bi.walk(f'{mnt}/age-{self.args.seed}', f'{self.top}/{name}', '--hash', '--flags')

    def snapshot(self, mnt, name):
        bi.run('btrfs', 'subvolume', 'snapshot', f'{mnt}/sub', f'{mnt}/{name}')
        self.w.say('snapshot', 'a', name, name)

    def ours(self, number):
        image, ops = self.images[0], self.args.ops // self.args.rounds
        said = self.w.say('engine', image, ops, self.args.seed * 1000 + number, *self.sets)
        self.done(f'round {number}: {ops} operations by our engine, {said}')
        self.w.say('verify-engine', image, *self.sets, *self.still)
        bi.run('btrfs', 'check', '--check-data-csum', image, quiet=True)

    def kernels(self, number, last):
        with self.mounted() as mnt:
            bi.same_text(self.expected, self.walk(mnt, 'after'), 'what was aged')
            self.w.say('verify-posix', mnt, *self.sets, *self.still)
            if last:
                return
            self.w.say('posix', mnt, 1000, self.args.seed * 1000 + 500 + number, *self.sets)
            if number % 3 == 2 and len(self.still) < 4:
                self.still.append(f's{number}')
                self.snapshot(mnt, self.still[-1])
        bi.run('btrfs', 'check', self.images[0], quiet=True)

    def run(self):
        self.prepare()
        self.w.say('options', *self.args.options.split())
        for number in range(self.args.rounds):
            self.ours(number)
            self.kernels(number, number + 1 == self.args.rounds)
        self.done(f'{self.args.config}: well')


class Mounted:
    """The kernel's mount, which must not complain."""

    def __init__(self, images, where):
        self.images, self.where, self.log = images, where, []

    def __enter__(self):
        os.makedirs(self.where, exist_ok=True)
        bi.kernel_mount(self.images, self.where, MOUNT)
        with open('/proc/self/mounts', encoding='utf-8') as f:
            self.device = next(line.split()[0] for line in f if f' {self.where} ' in line)
        self.before = kernel_log(self.device)
        return self.where

    def __exit__(self, kind, *_):
        bi.kernel_umount(self.where, self.images)
        log = kernel_log(self.device)
        if kind is None and log is not None:
            new = [line for line in log[len(self.before):] if 'BTRFS info' not in line]
            if new:
                raise bi.Failed('the kernel says:\n' + '\n'.join(new))


def test():
    args = parse()
    with bi.scratch() as top, Workload() as w:
        try:
            Work(args, top, w).run()
        except BaseException:
            if args.keep:
                shutil.copytree(top, args.keep, dirs_exist_ok=True,
                                ignore=shutil.ignore_patterns('mnt'))
            raise


if __name__ == '__main__':
    bi.need('root', 'loop devices', 'btrfs in the kernel')
    bi.own_namespace()
    bi.main(test)
