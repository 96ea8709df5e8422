#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Who uses an extent, by the kernel's references and by walking its trees: backref-judge over aged filesystems.

usage: backref.py [--ops N]
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import btrfs_image as bi  # noqa: E402

JUDGE = os.path.join(bi.build_dir(), 'tests', 'interop', 'backref-judge')
AGED = ('', '-n 4k --mixed', '-n 4k -O ^skinny-metadata,^no-holes')


def judge(images):
    out = bi.run(JUDGE, *images).decode()
    print(out.strip())
    if ' 0 shared references' in out:
        raise bi.Failed('no shared references in the kernel\'s filesystem: nothing was followed')


def share(mnt):
    """Files in snapshots of snapshots, changed on either side, and extents used many times."""
    for i in range(600):
        with open(f'{mnt}/tree/f{i}', 'wb') as f:
            f.write(os.urandom(6000))
    for i in range(40):
        bi.run('cp', '--reflink=always', f'{mnt}/tree/f{i % 3}', f'{mnt}/tree/c{i}')
    os.sync()
    bi.run('btrfs', 'subvolume', 'snapshot', f'{mnt}/tree', f'{mnt}/one', quiet=True)
    for i in range(0, 600, 50):
        os.unlink(f'{mnt}/tree/f{i}')
    bi.run('btrfs', 'subvolume', 'snapshot', f'{mnt}/one', f'{mnt}/two', quiet=True)
    os.sync()
    for i in range(5, 600, 70):
        with open(f'{mnt}/one/f{i}', 'r+b') as f:
            f.write(b'x' * 4096)
    with open(f'{mnt}/two/f7', 'r+b') as f:
        f.write(b'y' * 4096)
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
            with bi.kernel_mounted(images, f'{top}/mnt', 'max_inline=0') as mnt:
                bi.run('btrfs', 'subvolume', 'create', f'{mnt}/tree', quiet=True)
                share(mnt)
                bi.run(bi.program('ubtrfs-age'), mnt, '--ops', args.ops, '--seed', seed)
            judge(images)
            # The net holds: a use that is not known of is found.
            bi.run(JUDGE, '-x', *images, ok=(1,))


if __name__ == '__main__':
    bi.main(main)
