#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Is the interop comparison a net? Plants what it must catch, with the kernel as both readers.

Of a raid1 image one device too many is overwritten; in an image one byte of a file, one xattr and
one time are changed: the walk of the first fails or differs, the walk of the second differs. The
same image twice is equal.
"""
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import btrfs_image as bi  # noqa: E402


def differs(expected, images, mnt, what, options='ro'):
    try:
        with bi.kernel_mounted(images, mnt, options):
            bi.same_text(expected, bi.walk(mnt, f'{expected}.again', '--hash', '--flags'), what)
    except bi.Failed:
        print(f'caught: {what}')
        return
    raise bi.Failed(f'not noticed: {what}')


def flip_byte(path):
    fd = os.open(path, os.O_RDWR)
    byte = os.pread(fd, 1, 70000)
    os.pwrite(fd, bytes([byte[0] ^ 1]), 70000)
    os.close(fd)


def test():
    with bi.scratch() as top:
        mnt = f'{top}/mnt'
        images = bi.make_files(top, 2, 512 * bi.MIB)
        bi.run('mkfs.btrfs', '-q', '-d', 'raid1', '-m', 'raid1', *images)
        with bi.kernel_mounted(images, mnt):
            bi.run(bi.program('ubtrfs-age'), mnt, '--ops', 150, '--seed', 5)
            with open(f'{mnt}/file', 'wb') as f:
                f.write(random.Random(1).randbytes(100000))
        with bi.kernel_mounted(images, mnt, 'ro'):
            expected = bi.walk(mnt, f'{top}/walk', '--hash', '--flags')
        with bi.kernel_mounted(images, mnt, 'ro'):
            bi.same_text(expected, bi.walk(mnt, f'{top}/again', '--hash', '--flags'), 'same image')

        for name, plant in (
                ('one byte of a file', flip_byte),
                ('an xattr', lambda path: os.setxattr(path, 'user.planted', b'')),
                ('a time', lambda path: os.utime(path, ns=(0, 1)))):
            with bi.kernel_mounted(images, mnt):
                plant(f'{mnt}/file')
            differs(expected, images, mnt, name)
            with bi.kernel_mounted(images, mnt, 'ro'):
                expected = bi.walk(mnt, f'{top}/walk', '--hash', '--flags')
        for image in images:
            bi.overwrite(image, random.Random(2))
        differs(expected, images, mnt, 'one device too many overwritten')


if __name__ == '__main__':
    bi.need('root', 'loop devices', 'btrfs in the kernel')
    bi.own_namespace()
    bi.main(test)
