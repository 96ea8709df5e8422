#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every byte through engine.h, without a mount of ours in between.

eng-compare reads an image by our engine in order, in parallel and at random places, and compares with
the directory that mkfs.btrfs --rootdir was given, and with the kernel's mount of an aged filesystem.
Before, it is shown to notice one changed byte.

usage: data.py [--ops N]
"""
import argparse
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import btrfs_image as bi  # noqa: E402

COMPARE = os.path.join(bi.build_dir(), 'tests', 'interop', 'eng-compare')
# mkfs options and mount options
AGED = (
    ('', 'compress-force=zstd:9'),
    ('-n 4k --mixed --csum xxhash', 'compress-force=lzo'),
    ('-O ^no-holes,^free-space-tree --csum blake2', 'compress-force=zlib'),
    ('-n 64k --csum sha256', 'autodefrag'),
)


def compare(directory, images, *options, ok=(0,)):
    return bi.run(COMPARE, *options, '-d', directory, *images, ok=ok).decode('utf-8', 'replace')


def rootdir(top):
    rng = random.Random(3)
    source, image = f'{top}/source', f'{top}/rootdir.img'
    os.makedirs(f'{source}/d')
    for i, size in enumerate((0, 1, 2047, 4095, 4096, 10000, 131072, 131073, 3000001)):
        words = (b'line %d of many\n' % i * (size // 10 + 1))[:size]
        bi.save(f'{source}/d/words.{size}', words)
        bi.save(f'{source}/d/noise.{size}', rng.randbytes(size))
        os.symlink('t' * (i * 400 + 1), f'{source}/link.{i}')
    for compression in ('no', 'zlib', 'lzo', 'zstd'):
        if os.path.exists(image):
            os.unlink(image)
        bi.make_files(top, 1, 256 * bi.MIB)
        bi.run('mkfs.btrfs', '-q', '-f', '--rootdir', source, '--compress', compression,
               f'{top}/dev1.img', quiet=True)
        print(compression, compare(source, [f'{top}/dev1.img'], '-s', '3').strip())
    # The net holds: one byte, in the middle of a file.
    with open(f'{source}/d/noise.3000001', 'r+b') as f:
        f.seek(1234567)
        byte = f.read(1)
        f.seek(1234567)
        f.write(bytes([byte[0] ^ 1]))
    out = compare(source, [f'{top}/dev1.img'], ok=(1,))
    if 'first difference at: engine 1234567' not in out:
        raise bi.Failed(f'a changed byte was not found:\n{out}')


def aged(top, ops):
    for seed, (mkfs, mount) in enumerate(AGED):
        images = bi.make_files(top, 1, 3072 * bi.MIB)
        bi.run('mkfs.btrfs', '-q', '-f', *mkfs.split(), *images, quiet=True)
        with bi.kernel_mounted(images, f'{top}/mnt', mount) as mnt:
            bi.run(bi.program('ubtrfs-age'), mnt, '--ops', ops, '--seed', seed)
        with bi.kernel_mounted(images, f'{top}/mnt', 'ro') as mnt:
            print(mkfs, mount, compare(mnt, images, '-H', '-s', seed).strip())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--ops', type=int, default=600)
    args = parser.parse_args()
    if os.geteuid() == 0:
        bi.own_namespace()
    with bi.scratch() as top:
        rootdir(top)
    bi.need('root', 'loop devices', 'btrfs in the kernel')
    with bi.scratch() as top:
        aged(top, args.ops)


if __name__ == '__main__':
    try:
        main()
    except bi.Failed as e:
        sys.exit(f'FAILED: {e}')
