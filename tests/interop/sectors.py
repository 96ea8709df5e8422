#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Sectors of 8 to 64 KiB, which a kernel with 4 KiB pages need not mount.

mkfs.btrfs --rootdir makes the image from a directory; our mount of it must list as that directory
does, hold what `btrfs restore` gets off it, and dump as btrfs-progs dump it.

usage: sectors.py [--progs-only]
"""
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import btrfs_image as bi  # noqa: E402

# sector, node, compression, checksum
ROWS = [
    (4096, 4096, 'zlib', 'crc32c'),
    (8192, 16384, 'no', 'crc32c'),
    (8192, 8192, 'lzo', 'xxhash'),
    (16384, 16384, 'zstd', 'xxhash'),
    (32768, 32768, 'zlib', 'sha256'),
    (65536, 65536, 'no', 'blake2'),
    (65536, 65536, 'zstd', 'crc32c'),
    (65536, 65536, 'lzo', 'crc32c'),
]
SIZES = (0, 1, 100, 2047, 2048, 4095, 4096, 8191, 8193, 16384, 65535, 65536, 65537, 131072, 131073,
         333333, 2000001)
# mkfs.btrfs makes files inline up to the sector size; `btrfs restore` 6.14 dies of more than 4 KiB.
RESTORABLE = [size for size in SIZES if not 4096 <= size < 65536]
# A directory elsewhere has its own idea of these; and mkfs.btrfs forgets device numbers.
FOREIGN = 'ctime,dirsize,nlink,holes,rdev'


def build(top, sizes):
    rng = random.Random(8)
    os.makedirs(f'{top}/dir/sub/deep')
    for i, size in enumerate(sizes):
        noise, words = rng.randbytes(size), (b'%d of many words, ' % i * (size // 10 + 1))[:size]
        mixed = b''.join((noise if k % 2 else words)[k * 20000:(k + 1) * 20000]
                         for k in range(size // 20000 + 1))
        for name, data in (('noise', noise), ('words', words), ('mixed', mixed)):
            bi.save(f'{top}/dir/{name}.{size}', data)
    for i in range(700):
        bi.save(f'{top}/dir/sub/many-with-a-longer-name-{i}', b'%d' % i)
    with open(f'{top}/sparse', 'wb') as f:
        f.truncate(9 << 20)
        os.pwrite(f.fileno(), rng.randbytes(70000), 3 << 20)
    os.symlink('dir/words.100', f'{top}/symlink')
    os.symlink('x' * 1500, f'{top}/long-symlink')
    os.link(f'{top}/dir/words.65536', f'{top}/dir/sub/deep/link')
    os.mkfifo(f'{top}/fifo')
    bi.save(f'{top}/\u00fc new\nline', b'odd name')
    for i in range(12):
        os.setxattr(f'{top}/dir/words.100', f'user.{i}', rng.randbytes(i * 30))
    os.chmod(f'{top}/dir/noise.1', 0o4711)
    if os.geteuid() == 0:
        os.mknod(f'{top}/null', 0o20666, os.makedev(1, 3))
        os.chown(f'{top}/dir/noise.100', 1234, 4321)
    # mkfs.btrfs keeps whole seconds.
    for folder, dirs, files in os.walk(top, topdown=False):
        for n, name in enumerate([*dirs, *files, '.']):
            os.utime(f'{folder}/{name}', times=(7, 1700000000 * (n % 3) - n), follow_symlinks=False)


def without_specials(listing):
    """What `btrfs restore` restores: no special files; its directories' modes and times vary."""
    with open(listing, 'rb') as f:
        lines = [line for line in f if line.split()[1] in (b'f', b'l')]
    return bi.save(listing + '.plain', b''.join(lines))


def make(top, source, row):
    sector, node, compress, csum = row
    image, = bi.make_files(top, 1, 512 * bi.MIB)
    bi.run('mkfs.btrfs', '-q', '-f', '-s', sector, '-n', node, '--compress', compress, '--csum',
           csum, '--rootdir', source, image, quiet=True)
    return image


def walk_ours(top, image, *options):
    with bi.our_mount([image], f'{top}/mnt') as mnt:
        return bi.walk(mnt, f'{top}/ours.walk', '--hash', '--unique', *options)


def against_source(top, source, row):
    image = make(top, source, row)
    skip = ['--skip', FOREIGN]
    expected = bi.walk(source, f'{top}/source.walk', '--hash', *skip)
    bi.same_text(expected, walk_ours(top, image, *skip), f'{row}: walk')
    for what, *args in (['super', '-f', '-a'], ['tree']):
        theirs = bi.run('btrfs', 'inspect-internal', f'dump-{what}', *args, image)
        ours = bi.run(bi.program('ubtrfs-dump'), what, *args, image)
        bi.same_text(bi.save(f'{top}/progs.txt', theirs), bi.save(f'{top}/ours.txt', ours),
                     f'{row}: dump {what}')


def against_restore(top, source, row, progs_only):
    image = make(top, source, row)
    out = f'{top}/restored'
    os.makedirs(out)
    bi.run('btrfs', 'restore', '-m', '-S', image, out, quiet=True)
    skip = ['--skip', 'times,links,xattr,' + FOREIGN]
    restored = without_specials(bi.walk(out, f'{top}/restored.walk', '--hash', *skip))
    if progs_only:
        got = bi.walk(source, f'{top}/plain.walk', '--hash', *skip)
    else:
        got = walk_ours(top, image, *skip)
    bi.same_text(restored, without_specials(got), f'{row}: what btrfs restore restored')
    bi.run('rm', '-r', out)


def test():
    progs_only = '--progs-only' in sys.argv
    with bi.scratch() as top:
        for source, sizes in (('full', SIZES), ('restorable', RESTORABLE)):
            os.mkdir(f'{top}/{source}')
            build(f'{top}/{source}', sizes)
        for row in ROWS:
            if not progs_only:
                against_source(top, f'{top}/full', row)
            against_restore(top, f'{top}/restorable', row, progs_only)
            print('equal:', *row, flush=True)


if __name__ == '__main__':
    bi.need('root')
    if '--progs-only' not in sys.argv:
        bi.need('/dev/fuse')
        bi.need_programs('ubtrfs', 'ubtrfsctl', 'ubtrfs-dump')
    bi.own_namespace()
    bi.main(test)
