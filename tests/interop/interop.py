#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""One configuration of btrfs, aged by the kernel, read by the kernel and by us: the same.

usage: interop.py [--row N | --full N] [--ops N] [--seed S] [--keep DIR]
                  [--kernel-only | --dumps-only]

  --row N       row N of the pairwise set (pairwise.py); --full N of the full product
  --kernel-only the kernel takes our part too: what it can't read we shall not be asked for

The image is made, aged under each compression, and walked through the kernel's read-only mount.
Then our mount of it must give the same walk: whole; with as many devices missing as the profiles
bear; with as many overwritten by garbage, superblocks spared and then not; and with one copy of all
that is `dup` overwritten. ubtrfs-dump must print what btrfs-progs print.
"""
import argparse
import os
import random
import re
import shutil
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), 'lib')]
import btrfs_image as bi  # noqa: E402
import pairwise  # noqa: E402

# Each row takes some of these beside the plain dump-tree, so that a set of rows takes all.
DUMP_VARIANTS = (
    ['-e'], ['-d'], ['-r'], ['-R'], ['-u'], ['--bfs'], ['--dfs'], ['-t', '5'], ['-t', 'root'],
    ['-t', 'chunk'], ['-t', 'csum'], ['--hide-names'], ['--csum-headers'], ['--csum-items'],
    ['--noscan'], ['-t', 'FS_TREE', '--bfs'], ['-t', 'extent'],
)


def mkfs(row, images):
    features = {
        'v1': ['^free-space-tree', '^block-group-tree'], 'v2': ['free-space-tree'],
        'block-group-tree': ['free-space-tree', 'block-group-tree'],
    }[row['space']] + [row['holes']]
    if row['quota'] != 'none':
        features.append(row['quota'])
    cmd = ['mkfs.btrfs', '-q', '-f', '--csum', row['csum'], '-n', row['nodesize'],
           '-d', row['data'], '-m', row['metadata'], '-O', ','.join(features)]
    if row['groups'] == 'mixed':
        cmd.append('--mixed')
    bi.run(*cmd, *images, quiet=True)


FS_COMPR, FS_NOCOMP = 0x4, 0x400


def remember_properties(walk):
    """Linux looks for properties behind an inode's item, but not past items of many names nor, if they begin the
    next leaf, of one, and then shows flags without them: which files meets that depends on where leaves end.
    Sets the flags to what the compression property of each file in the kernel's walk says."""
    lines = []
    with open(walk, 'rb') as f:
        for line in f:
            fields = line.rstrip(b'\n').split(b' ')
            value = [x.split(b'=')[1] for x in fields if x.startswith(b'xattr:btrfs.compression=')]
            if value:
                flags = [int(x[6:], 16) for x in fields if x.startswith(b'flags=')]
                fields = [x for x in fields if not x.startswith(b'flags=')]
                none = bytes.fromhex(value[0].decode()).startswith(b'no')
                flags = sum(flags) & ~(FS_COMPR | FS_NOCOMP) | (FS_NOCOMP if none else FS_COMPR)
                last = max(i for i, x in enumerate(fields) if x.startswith(b'xattr:'))
                fields.insert(last + 1, b'flags=%x' % flags)
            lines.append(b' '.join(fields) + b'\n')
    return bi.save(walk, b''.join(lines))


class Config:
    """The image of one row on its way through the tests."""

    def __init__(self, row, top, args):
        self.row, self.top, self.args = row, top, args
        count, self.lost = pairwise.devices(row)
        self.images = bi.make_files(top, count, (1024 if count == 1 else 640) * bi.MIB)
        self.mnt = f'{top}/mnt'
        # Garbage in a file without checksums cannot be noticed, by anybody.
        self.nocow = self.lost == 0 and 'dup' not in (row['data'], row['metadata'])
        self.rng = random.Random(args.seed)
        self.started = self.lap = time.monotonic()

    def done(self, what):
        now = time.monotonic()
        print(f'{now - self.lap:6.1f} s  {what}', flush=True)
        self.lap = now

    def make(self):
        mkfs(self.row, self.images)
        self.done('made: ' + pairwise.describe(self.row))
        options = 'space_cache=v1' if self.row['space'] == 'v1' else ''
        extra = [] if self.nocow else ['--without', 'nocow']
        if self.row['default'] == 'subvol':
            extra += ['--feature', 'default-subvol']
        with bi.kernel_mounted(self.images, self.mnt, options) as mnt:
            said = bi.run(bi.program('ubtrfs-age'), mnt, '--ops', self.args.ops, '--seed',
                          self.args.seed, '--compress', 'none,zlib,lzo,zstd', *extra)
        self.done('aged: ' + said.decode().strip())
        with bi.kernel_mounted(self.images, self.mnt, 'ro,subvolid=5') as mnt:
            self.expected = remember_properties(
                bi.walk(mnt, f'{self.top}/kernel.walk', '--hash', '--flags'))
        if self.row['default'] == 'subvol':
            with bi.kernel_mounted(self.images, self.mnt, 'ro') as mnt:
                bi.walk(mnt, f'{self.top}/kernel-default.walk')
        self.done(f'kernel walked {sum(1 for _ in open(self.expected, "rb"))} entries')

    def ours_equals(self, images, options, what, expected=None, *walk_options):
        mounted = bi.kernel_mounted if self.args.kernel_only else bi.our_mount
        with mounted(images, self.mnt, options) as mnt:
            got = bi.walk(mnt, f'{self.top}/ours.walk', *walk_options)
        bi.same_text(expected or self.expected, got, f'{what}: walk')
        self.done(f'walked, {what}')

    def whole(self):
        unique = [] if self.args.kernel_only else ['--unique']
        self.ours_equals(self.images, 'ro,subvolid=5', 'whole', None, '--hash', '--flags', *unique)
        if self.row['default'] == 'subvol':
            self.ours_equals(self.images, 'ro', 'default subvolume',
                             f'{self.top}/kernel-default.walk')

    def dump_equals(self, args, images, what):
        # btrfs-progs warn on stderr of much that does not matter here; ours must warn of nothing.
        expected = bi.save(f'{self.top}/progs.txt', bi.run(
            'btrfs', 'inspect-internal', f'dump-{what}', *args, *images, quiet=True))
        got = bi.save(f'{self.top}/dump.txt', bi.run(
            bi.program('ubtrfs-dump'), what, *args, *images))
        bi.same_text(expected, got, f'dump {what} {" ".join(args)}')
        with open(expected, 'rb') as f:
            return sum(1 for _ in f)

    def dumps(self, number):
        for image in self.images:
            self.dump_equals(['-f', '-a'], [image], 'super')
        lines = self.dump_equals([], self.images, 'tree')
        if lines < 10 * self.args.ops: # no image of so many operations is that small
            raise bi.Failed(f'btrfs-progs dump only {lines} lines')
        for k in range(3):
            self.dump_equals(DUMP_VARIANTS[(3 * number + k) % len(DUMP_VARIANTS)], self.images,
                             'tree')
        root = re.search(rb'^root\s+(\d+)', bi.run('btrfs', 'inspect-internal', 'dump-super',
                                                   self.images[0]), re.M).group(1).decode()
        self.dump_equals(['-b', root], self.images, 'tree')
        self.dump_equals(['-b', root, '--follow'], self.images, 'tree')
        self.done(f'dumps are equal, {lines} lines and parts of them')

    def damaged(self):
        if self.lost:
            left = self.images[:-self.lost]
            self.ours_equals(left, 'ro,subvolid=5,degraded', f'{self.lost} devices missing', None,
                             '--hash', '--flags')
            victims = self.images[:self.lost]
            for image in victims:
                bi.overwrite(image, self.rng)
            self.ours_equals(self.images, 'ro,subvolid=5', f'{self.lost} devices overwritten',
                             None, '--hash', '--flags')
            for image in victims:
                bi.overwrite(image, self.rng, spare_supers=False)
            given = self.images[self.lost:] if self.args.kernel_only else self.images
            self.ours_equals(given, 'ro,subvolid=5,degraded',
                             f'{self.lost} devices overwritten, superblocks too', None, '--hash',
                             '--flags')
        elif 'dup' in (self.row['data'], self.row['metadata']):
            bi.overwrite(self.images[0], self.rng, ranges=self.first_copies())
            self.ours_equals(self.images, 'ro,subvolid=5', 'first copies overwritten', None,
                             '--hash', '--flags')

    def first_copies(self):
        """Where the first copy of each dup chunk lies; the system's too, all but the superblocks."""
        text = bi.run('btrfs', 'inspect-internal', 'dump-tree', '-t', 'chunk', *self.images)
        chunk = re.compile(r'length (\d+) owner .*?type (\S+)\n.*?stripe 0 devid \d+ offset (\d+)',
                           re.S)
        found = [(int(offset), int(offset) + int(length))
                 for length, kind, offset in chunk.findall(text.decode()) if 'DUP' in kind]
        if not found:
            raise bi.Failed('no dup chunk found')
        return found


def parse():
    p = argparse.ArgumentParser()
    p.add_argument('--row', type=int)
    p.add_argument('--full', type=int)
    p.add_argument('--ops', type=int, default=2000)
    p.add_argument('--seed', type=int)
    p.add_argument('--keep', help='keep the images and walks there')
    p.add_argument('--kernel-only', action='store_true')
    p.add_argument('--dumps-only', action='store_true')
    args = p.parse_args()
    args.number = args.row if args.row is not None else args.full or 0
    if args.seed is None:
        args.seed = 1000 + args.number
    return args


def test(args):
    rows = pairwise.pairwise() if args.full is None else pairwise.product()
    with bi.scratch() as top:
        config = Config(rows[args.number], top, args)
        try:
            config.make()
            if args.dumps_only:
                config.dumps(args.number)
                return
            config.whole()
            if not args.kernel_only:
                config.dumps(args.number)
            config.damaged()
        finally:
            if args.keep:
                shutil.copytree(top, args.keep, dirs_exist_ok=True)
        print(f'{time.monotonic() - config.started:6.1f} s  in all')


if __name__ == '__main__':
    ARGS = parse()
    bi.need('root', 'loop devices', 'btrfs in the kernel')
    if not ARGS.kernel_only and not ARGS.dumps_only:
        bi.need('/dev/fuse')
        bi.need_programs('ubtrfs', 'ubtrfsctl', 'ubtrfs-dump')
    bi.own_namespace()
    bi.main(lambda: test(ARGS))
