#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Images for tests of writing, in every configuration that the engine writes.

usage: write_image.py CONFIG OUT [--mib N] [--empty]
       write_image.py --list

With root and loop devices the kernel fills them: files of all kinds, a subvolume `volume` and a snapshot of
it, `snap`, both changed since, so that blocks are shared and full back references are met. Else mkfs.btrfs
--rootdir makes the same without the snapshot. --empty: mkfs.btrfs alone. What was done is said on stdout.
"""
import argparse
import contextlib
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import btrfs_image as bi  # noqa: E402

SMALL = ['-n', '4096']
CONFIGS = {
    # The three of the crash sweep.
    'dup': ['-m', 'dup', '-d', 'single'],
    'n4k': [*SMALL, '-m', 'single', '-d', 'single', '-O', '^block-group-tree'],
    'bgt': [*SMALL, '-m', 'dup', '-d', 'single', '-O', 'block-group-tree'],
    # Little is free, in pieces: what was freed is soon used again.
    'tight': [*SMALL, '--mixed'],
    'single': ['-m', 'single', '-d', 'single'],
    'dup4k': [*SMALL, '-m', 'dup', '-d', 'dup'],
    'mixed': [*SMALL, '--mixed'],
    'mixed-dup': [*SMALL, '--mixed', '-m', 'dup', '-d', 'dup'],
    'n64k': ['-n', '65536', '-m', 'dup', '-d', 'single'],
    'holes': [*SMALL, '-m', 'dup', '-d', 'single', '-O', '^no-holes'],
    'no-fst': [*SMALL, '-m', 'dup', '-d', 'single', '-O', '^free-space-tree'],
    'xxhash': [*SMALL, '-m', 'dup', '-d', 'single', '--csum', 'xxhash'],
    'sha256': [*SMALL, '-m', 'dup', '-d', 'single', '--csum', 'sha256'],
    'blake2': [*SMALL, '-m', 'dup', '-d', 'single', '--csum', 'blake2'],
}
MIB = {'tight': 16, 'n4k': 128, 'mixed': 64, 'mixed-dup': 256}
DEFAULT_MIB = 256
LEAVE = {'tight': 3 * bi.MIB}
# Two pairs, each with one hash.
TWINS = ('user.88bzilh', 'user.2ofmlwb', 'user.mxpv28v', 'user.ve0dggj')


def fill(top, files):
    """Files of all kinds, `files` of each of the common ones."""
    os.mkdir(f'{top}/d')
    for i in range(files):
        where = f'{top}/d' if i % 3 else top
        bi.save(f'{where}/inline{i}', b'words ' * (i * 7 % 200))
        if i % 4 == 0:
            bi.save(f'{where}/data{i}', os.urandom(4096 + i * 111))
        if i % 5 == 0:
            os.symlink('t' * (i + 1), f'{where}/link{i}')
            os.setxattr(f'{where}/inline{i}', 'user.x1', b'v' * (i * 5 + 1))
        if i % 6 == 0:
            os.link(f'{where}/inline{i}', f'{top}/d/hard{i}-' + 'n' * (i * 4 % 200))
    for twin in TWINS:
        os.setxattr(f'{top}/d', twin, twin.encode())
        bi.save(f'{top}/{twin}', twin.encode())
    os.mkfifo(f'{top}/fifo')
    os.mkdir(f'{top}/deep')
    os.mkdir(f'{top}/deep/deeper')


def change(top, step):
    """After a snapshot: some blocks are copied, others stay shared."""
    for i in range(0, 30, step):
        path = f'{top}/d/inline{i}' if i % 3 else f'{top}/inline{i}'
        if os.path.exists(path):
            os.rename(path, f'{top}/deep/moved{i}')
    bi.save(f'{top}/deep/new{step}', b'new')


def fill_up(top, leave):
    """Data until about so many bytes are available; a part of that is given back in small pieces."""
    bi.run('sync', '-f', top)
    st = os.statvfs(top)
    bi.save(f'{top}/d/big', os.urandom(max(0, st.f_bavail * st.f_frsize - leave)))
    pieces = 0
    with contextlib.suppress(OSError):
        for pieces in range(leave // 2 // 16384):
            bi.save(f'{top}/d/piece{pieces}', os.urandom(16384))
    bi.run('sync', '-f', top)
    for i in range(0, pieces, 2):
        os.unlink(f'{top}/d/piece{i}')


def by_kernel(path, files, leave=None):
    mnt = tempfile.mkdtemp(prefix='ubtrfs-image.')
    try:
        with bi.kernel_mounted([path], mnt, 'noatime,max_inline=2048'):
            fill(mnt, files)
            bi.run('btrfs', 'subvolume', 'create', f'{mnt}/volume')
            fill(f'{mnt}/volume', files)
            bi.run('sync', '-f', mnt)
            bi.run('btrfs', 'subvolume', 'snapshot', f'{mnt}/volume', f'{mnt}/snap')
            change(f'{mnt}/volume', 7)
            bi.run('sync', '-f', mnt)
            change(f'{mnt}/snap', 5)
            for i in range(0, files, 3):
                os.unlink(f'{mnt}/inline{i}')
            if leave:
                fill_up(mnt, leave)
    finally:
        os.rmdir(mnt)


def make(config, out, mib=None, empty=False, files=60):
    """Makes the image; True if by the kernel."""
    part = f'{out}.new'
    with open(part, 'wb') as f:
        f.truncate((mib or MIB.get(config, DEFAULT_MIB)) << 20)
    kernel = not empty and all(bi.MACHINE[t]() for t in ('root', 'loop devices', 'btrfs in the kernel'))
    with tempfile.TemporaryDirectory(prefix='ubtrfs-image.') as top:
        root = []
        if not kernel and not empty:
            fill(top, files)
            os.mkdir(f'{top}/volume')
            fill(f'{top}/volume', files)
            root = ['--rootdir', top, '--subvol', 'volume']
        bi.run('mkfs.btrfs', '-q', '-f', *CONFIGS[config], *root, part)
    if kernel:
        by_kernel(part, files, LEAVE.get(config))
    shutil.move(part, out)
    return kernel


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    p.add_argument('--list', action='store_true')
    p.add_argument('--mib', type=int)
    p.add_argument('--empty', action='store_true')
    p.add_argument('config', nargs='?', choices=CONFIGS)
    p.add_argument('out', nargs='?')
    args = p.parse_args()
    if args.list:
        print(*CONFIGS, sep='\n')
        return
    if not args.out:
        p.error('CONFIG and OUT are needed')
    if not args.empty and os.geteuid() == 0:
        bi.own_namespace()
    kernel = make(args.config, args.out, args.mib, args.empty)
    print(f'{args.out}: {args.config}, made by {"the kernel" if kernel else "mkfs.btrfs"}')


if __name__ == '__main__':
    bi.main(main)
