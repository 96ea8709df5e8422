#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What opens for writing, and what is refused: each with one line that names it, and nothing written."""
import hashlib
import os
import re
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import btrfs_image as bi  # noqa: E402

RW_OPEN = os.path.join(bi.build_dir(), 'tests', 'interop', 'rw-open')
COMPAT_RO, INCOMPAT, FLAGS, CHUNK_GEN = 180, 188, 56, 164
VALID, UNKNOWN_RO, VERITY = 2, 1 << 40, 4
TREE_RELOC, DATA_RELOC = (1 << 64) - 8, (1 << 64) - 9

CRC = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ 0x82F63B78 * (n & 1)
    CRC.append(n)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC[(crc ^ byte) & 0xFF]
    return struct.pack('<I', crc ^ 0xFFFFFFFF)


def digest(images):
    """Of everything but holes, so that a write to any place shows."""
    h = hashlib.sha256()
    for path in images:
        with open(path, 'rb') as f:
            h.update(f.read())
    return h.digest()


def refused(images, errno, *words, options=()):
    before = digest(images)
    out = bi.run(*bi.wrap(), RW_OPEN, *options, *images, ok=(1,)).decode().splitlines()
    text = '\n'.join(out)
    if len(out) != 2 or out[1] != errno or not all(w in out[0] for w in words):
        raise bi.Failed(f'expected one line with {words}, then {errno}:\n{text}')
    if digest(images) != before:
        raise bi.Failed(f'refused, and written to: {text}')


def opened(images, *options):
    out = bi.run(*bi.wrap(), RW_OPEN, *options, *images).decode().strip()
    if out != 'writable':
        raise bi.Failed(f'expected "writable": {out}')
    bi.run('btrfs', 'check', images[0], quiet=True)


def patch_block(path, offset, size, at, form, change):
    with open(path, 'r+b') as f:
        f.seek(offset)
        block = bytearray(f.read(size))
        value, = struct.unpack_from(form, block, at)
        struct.pack_into(form, block, at, change(value))
        block[:4] = crc32c(bytes(block[32:]))
        f.seek(offset)
        f.write(block)


def patch_super(path, at, change, form='<Q'):
    for offset in bi.SUPERS[:2]:
        if offset < os.path.getsize(path):
            patch_block(path, offset, bi.SUPER_SIZE, at, form, change)


def image(top, mkfs='', count=1, size=256):
    paths = bi.make_files(top, count, size * bi.MIB)
    for path in paths:
        with open(path, 'r+b') as f:
            f.truncate(0)
            f.truncate(size * bi.MIB)
    bi.run('mkfs.btrfs', '-q', '-f', *mkfs.split(), *paths, quiet=True)
    return paths


def of_superblock(top):
    for at, change, words in (
            (COMPAT_RO, lambda v: v & ~VALID, ('free space tree', 'not valid', 'kernel')),
            (COMPAT_RO, lambda v: v | UNKNOWN_RO, ('unknown', '0x10000000000')),
            (COMPAT_RO, lambda v: v | VERITY, ('verity',)),
            (FLAGS, lambda v: v | 4, ('error', 'btrfs check')),
            (FLAGS, lambda v: v | 1 << 32, ('seed',)),
            (INCOMPAT, lambda v: v & ~1, ('back references',)),
            (CHUNK_GEN, lambda v: v + 1000, ('generation',))):
        paths = image(top)
        patch_super(paths[0], at, change)
        err = 'EUCLEAN' if at == CHUNK_GEN else 'EROFS'
        refused(paths, err, *words)


def of_log(top):
    """The log is told of; zero-log clears it, says what it was, and nothing but it is lost."""
    paths = image(top, size=400)
    copy = f'{top}/copy.img'
    with bi.kernel_mounted(paths, f'{top}/mnt', 'commit=300') as mnt:
        bi.save(f'{mnt}/committed', b'before')
        bi.run('sync', '-f', mnt)
        with open(f'{mnt}/logged', 'wb') as f:
            f.write(b'only in the log')
            os.fsync(f.fileno())
        # Mounted: nobody else may write.
        done = bi.run(bi.program('ubtrfsctl'), 'rescue', 'zero-log', paths[0], ok=(1,), quiet=True)
        refused([paths[0]], 'EBUSY', 'loop')
        bi.run('cp', '--sparse=always', paths[0], copy)
    if done:
        raise bi.Failed(f'zero-log of a mounted image says {done}')
    os.rename(copy, paths[0])
    text = bi.run('btrfs', 'inspect-internal', 'dump-super', paths[0]).decode()
    root = re.search(r'^log_root\s+(\d+)', text, re.M).group(1)
    level = re.search(r'^log_root_level\s+(\d+)', text, re.M).group(1)
    if root == '0':
        raise bi.Failed('the image has no log')
    refused(paths, 'EROFS', 'log tree', 'zero-log')
    said = bi.run(bi.program('ubtrfsctl'), 'rescue', 'zero-log', paths[0]).decode()
    if said != f'Clearing log on {paths[0]}, previous log_root {root}, level {level}\n':
        raise bi.Failed(f'zero-log says {said}')
    said = bi.run('btrfs', 'rescue', 'zero-log', paths[0]).decode()
    if said != f'Clearing log on {paths[0]}, previous log_root 0, level 0\n':
        raise bi.Failed(f'afterwards btrfs rescue zero-log says {said}')
    bi.run('btrfs', 'check', paths[0], quiet=True)
    with bi.kernel_mounted(paths, f'{top}/mnt') as mnt:
        if os.listdir(mnt) != ['committed']:
            raise bi.Failed(f'{os.listdir(mnt)} is left')


def of_devices(top):
    refused(image(top, '-d single -m single', 2), 'EROFS', '2 devices')
    pair = image(top, '-d raid1 -m raid1', 2)
    refused(pair, 'EROFS', '2 devices')
    refused(pair[:1], 'EROFS', 'missing', options=('-d',))
    refused(pair[:1], 'ENXIO', 'missing')
    paths = image(top, '-d raid0 -m single', 2)
    with bi.kernel_mounted(paths, f'{top}/mnt') as mnt:
        bi.run('btrfs', 'device', 'remove', 2, mnt)
    profiles = bi.run('btrfs', 'inspect-internal', 'dump-tree', '-t', 'chunk', paths[0]).decode()
    if 'RAID0' in profiles:
        refused(paths[:1], 'EROFS', 'RAID0', 'profile')
    else:
        opened(paths[:1])


def of_trees(top):
    paths = image(top, '-O quota')
    refused(paths, 'EROFS', 'quotas', 'btrfs quota disable')
    with bi.kernel_mounted(paths, f'{top}/mnt') as mnt:
        bi.run('btrfs', 'quota', 'disable', mnt)
    opened(paths)
    # A relocation's root, made of another tree's item.
    paths = image(top)
    text = bi.run('btrfs', 'inspect-internal', 'dump-super', paths[0]).decode()
    root = re.search(r'^root\s+(\d+)', text, re.M).group(1)
    nodesize = int(re.search(r'^nodesize\s+(\d+)', text, re.M).group(1))
    places = re.findall(r'physical (\d+)', bi.run('btrfs-map-logical', '-l', root, paths[0]).decode())
    for place in map(int, places):
        with open(paths[0], 'rb') as f:
            f.seek(place)
            at = f.read(nodesize).index(struct.pack('<QB', DATA_RELOC, 132))
        patch_block(paths[0], place, nodesize, at, '<Q', lambda v: TREE_RELOC)
        patch_block(paths[0], place, nodesize, at + 9, '<Q', lambda v: 5)
    refused(paths, 'EROFS', 'balance')


def of_options(top):
    paths = image(top)
    refused(paths, 'EINVAL', 'rescue', options=('-r',))
    refused(paths, 'EINVAL', 'in use', options=('-l',))
    refused(paths, 'EINVAL', 'metadata cache', 'at least', options=('-c', '100000'))
    loop = bi.run('losetup', '-f', '--show', '-r', paths[0]).decode().strip()
    try:
        refused(paths, 'EBUSY', loop)
        refused([loop], 'EROFS', 'read-only', loop)
    finally:
        bi.run('losetup', '-d', loop)


def good(top):
    for mkfs in ('', '--mixed', '-O block-group-tree', '-d single -m single', '-O ^free-space-tree',
                 '-O ^no-holes', '-n 4k', '-n 64k', '--csum xxhash', '--csum sha256', '--csum blake2',
                 '-O ^extref', '-O ^skinny-metadata'):
        paths = image(top, mkfs)
        opened(paths)
        opened(paths, '-t', 'new')


def statfs(top):
    """As the kernel counts: the same bytes in all, and free ones but for how large the reserve is just now."""
    for mkfs, size in (('', 256), ('', 1024), ('--mixed', 256), ('-d dup -m dup', 512), ('-m single -n 4k', 300)):
        paths = image(top, mkfs, size=size)
        with bi.kernel_mounted(paths, f'{top}/mnt') as mnt:
            for i in range(100):
                bi.save(f'{mnt}/f{i}', os.urandom(30000))
            os.sync()
            st = os.statvfs(mnt)
            theirs = [n * st.f_frsize for n in (st.f_blocks, st.f_bfree, st.f_bavail)]
        ours = list(map(int, bi.run(RW_OPEN, '-s', *paths).decode().split()[:3]))
        print(mkfs, size, theirs, ours)
        if ours[0] != theirs[0] or abs(ours[1] - theirs[1]) > 4 * bi.MIB or abs(ours[2] - theirs[2]) > 4 * bi.MIB:
            raise bi.Failed(f'statfs of {mkfs}: the kernel says {theirs}, we {ours}')


CASES = (of_superblock, of_log, of_devices, of_trees, of_options, good, statfs)


def main():
    bi.need('root', 'loop devices', 'btrfs in the kernel')
    bi.own_namespace()
    wanted = sys.argv[1:]
    with bi.scratch() as top:
        for case in CASES:
            if not wanted or case.__name__ in wanted:
                print(case.__name__)
                case(top)


if __name__ == '__main__':
    bi.main(main)
