#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A bad data sector costs its page and nothing else: no byte after it, and not the file's size.

To the kernel a short answer to a read means that the file ends there, so this is easily lost.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import btrfs_image as bi  # noqa: E402

PAGE = 4096
SIZE = 3 * bi.MIB + 100
BAD = 157


def read_pages(path, data, bad):
    with open(path, 'rb', buffering=0) as f:
        for page in range(0, len(data), PAGE):
            try:
                got = os.pread(f.fileno(), PAGE, page)
            except OSError:
                got = None
            want = None if page // PAGE in bad else data[page:page + PAGE]
            if got != want:
                raise bi.Failed(f'page {page // PAGE}: {got and len(got)} bytes that differ')


def read_through(path, data, bad):
    got = b''
    with open(path, 'rb', buffering=0) as f:
        try:
            while chunk := f.read(65536):
                got += chunk
            failed = False
        except OSError:
            failed = True
    if failed != bool(bad) or data[:len(got)] != got or (not bad and len(got) != len(data)):
        raise bi.Failed(f'read {len(got)} bytes of {len(data)}, error: {failed}')


def damage(image, data):
    """Flips a bit of the sector BAD, wherever mkfs put it; data is in one copy."""
    with open(image, 'r+b') as f:
        where = f.read().index(data[BAD * PAGE:(BAD + 1) * PAGE])
        f.seek(where + 5)
        f.write(bytes([data[BAD * PAGE + 5] ^ 1]))


def main():
    bi.need('root', '/dev/fuse')
    bi.own_namespace()
    with bi.scratch() as top:
        data = b''.join(b'%07d\n' % i for i in range(SIZE // 8 + 1))[:SIZE]
        os.mkdir(f'{top}/source')
        bi.save(f'{top}/source/file', data)
        image, = bi.make_files(top, 1, 256 * bi.MIB)
        bi.run('mkfs.btrfs', '-q', '--rootdir', f'{top}/source', image, quiet=True)
        for bad in (set(), {BAD}):
            if bad:
                damage(image, data)
            for reader in (read_through, read_pages):
                with bi.our_mount([image], f'{top}/mnt') as mnt:
                    reader(f'{mnt}/file', data, bad)
                    read_through(f'{mnt}/file', data, bad)
                    size = os.stat(f'{mnt}/file').st_size
                    if size != SIZE:
                        raise bi.Failed(f'the size became {size}, it is {SIZE}')


if __name__ == '__main__':
    try:
        main()
    except bi.Failed as e:
        sys.exit(f'FAILED: {e}')
