#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Our free-space tree beside the kernel's: fst-judge over aged and over shattered filesystems.

usage: fst.py [--ops N]
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import btrfs_image as bi  # noqa: E402

JUDGE = os.path.join(bi.build_dir(), 'tests', 'interop', 'fst-judge')
AGED = ('', '-n 4k --mixed', '-O block-group-tree')


def judge(images, seed, want_bitmaps=False):
    out = bi.run(JUDGE, str(seed), *images).decode()
    print(out.strip())
    if want_bitmaps and ' 0 with bitmaps' in out:
        raise bi.Failed('no block group of the kernel\'s has bitmaps: nothing was compared')


def shatter(mnt, nr):
    """Small extents, every other one freed, so that the kernel goes over to bitmaps; some come back."""
    for i in range(nr):
        with open(f'{mnt}/f{i}', 'wb') as f:
            f.write(os.urandom(4096))
            if i % 64 == 63:
                os.fsync(f.fileno())
    os.sync()
    for i in range(0, nr, 2):
        os.unlink(f'{mnt}/f{i}')
    os.sync()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--ops', type=int, default=400)
    args = parser.parse_args()
    bi.need('root', 'loop devices', 'btrfs in the kernel')
    bi.own_namespace()
    with bi.scratch() as top:
        for seed, mkfs in enumerate(AGED):
            images = bi.make_files(top, 1, 1024 * bi.MIB)
            bi.run('mkfs.btrfs', '-q', '-f', *mkfs.split(), *images, quiet=True)
            judge(images, seed)
            # The net holds: one extent unheard of is found twice, in what is loaded and in the items.
            bi.run(JUDGE, '-x', str(seed), *images, ok=(1,))
            with bi.kernel_mounted(images, f'{top}/mnt') as mnt:
                bi.run(bi.program('ubtrfs-age'), mnt, '--ops', args.ops, '--seed', seed)
            judge(images, seed)
        images = bi.make_files(top, 1, 256 * bi.MIB)
        bi.run('mkfs.btrfs', '-q', '-f', '--mixed', *images, quiet=True)
        with bi.kernel_mounted(images, f'{top}/mnt', 'max_inline=0') as mnt:
            shatter(mnt, 3000)
        judge(images, 9, want_bitmaps=True)


if __name__ == '__main__':
    bi.main(main)
