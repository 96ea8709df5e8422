#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Volumes with a history: seeds, changed uuids, devices that came and went, a log left behind, data
that fails its checksum. Our walk of each equals the kernel's.

usage: devices.py [--kernel-only] [CASE]...
"""
import os
import random
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import btrfs_image as bi  # noqa: E402

KERNEL_ONLY = '--kernel-only' in sys.argv
WALK = ('--hash', '--flags')


def age(mnt, seed, ops=250, *more):
    bi.run(bi.program('ubtrfs-age'), mnt, '--ops', ops, '--seed', seed, *more)


def kernel_walk(top, images, options='ro'):
    with bi.kernel_mounted(images, f'{top}/mnt', options) as mnt:
        return bi.walk(mnt, f'{top}/kernel.walk', *WALK)


def equal(top, images, what, options='ro', kernel_options=None, any_order=True):
    """Both readers see the same, in whatever order the devices are given."""
    expected = kernel_walk(top, images, kernel_options or options)
    if KERNEL_ONLY:
        return
    for order in [images] + [images[::-1]] * (any_order and len(images) > 1):
        with bi.our_mount(order, f'{top}/mnt', options) as mnt:
            bi.same_text(expected, bi.walk(mnt, f'{top}/ours.walk', *WALK), what)


def dumps_equal(top, images, what):
    if KERNEL_ONLY:
        return
    for args in [['super', '-f', '-a', image] for image in images] + [['tree', *images]]:
        theirs = bi.run('btrfs', 'inspect-internal', f'dump-{args[0]}', *args[1:], quiet=True)
        ours = bi.run(bi.program('ubtrfs-dump'), *args)
        bi.same_text(bi.save(f'{top}/progs.txt', theirs), bi.save(f'{top}/ours.txt', ours),
                     f'{what}: dump {args[0]}')


def attached(images):
    """Loop devices that stay until the image files are gone from them."""
    return [bi.run('losetup', '-f', '--show', image).decode().strip() for image in images]


def seed(top):
    """A sprout on a seed: reads come from both; the seed alone is a filesystem of its own."""
    images = bi.make_files(top, 2, 400 * bi.MIB)
    mnt = f'{top}/mnt'
    bi.run('mkfs.btrfs', '-q', images[0])
    with bi.kernel_mounted(images[:1], mnt):
        age(mnt, 1)
    bi.run('btrfstune', '-S', '1', images[0])
    equal(top, images[:1], 'seed alone')
    devs = attached(images)
    try:
        bi.run('mount', '-t', 'btrfs', devs[0], mnt, quiet=True)
        bi.run('btrfs', 'device', 'add', '-f', devs[1], mnt, quiet=True)
        bi.run('mount', '-o', 'remount,rw', mnt)
        age(mnt, 2)
        bi.run('umount', mnt)
    finally:
        for dev in devs:
            bi.run('losetup', '-d', dev)
    # The first is the one that is mounted, and to btrfs-progs the one that is dumped.
    equal(top, images[::-1], 'seed and sprout', any_order=False)
    dumps_equal(top, images[::-1], 'seed and sprout')


def changed_uuid(top):
    for flags in (['-m'], ['-f', '-M', '12345678-1234-1234-1234-123456789abc'], ['-f', '-u']):
        images = bi.make_files(top, 2, 300 * bi.MIB)
        bi.run('mkfs.btrfs', '-q', '-f', '-d', 'raid1', *images)
        with bi.kernel_mounted(images, f'{top}/mnt') as mnt:
            age(mnt, 3)
        devs = attached(images)
        try:
            bi.run('btrfs', 'device', 'scan', *devs, quiet=True)
            bi.run('btrfstune', *flags, devs[0], quiet=True)
        finally:
            for dev in devs:
                bi.run('losetup', '-d', dev)
        equal(top, images, f'btrfstune {flags}')
        dumps_equal(top, images, f'btrfstune {flags}')


def came_and_went(top):
    """Device numbers with gaps, chunks of several profiles, devices of different sizes."""
    images = bi.make_files(top, 4, 500 * bi.MIB)
    os.truncate(images[2], 900 * bi.MIB)
    mnt = f'{top}/mnt'
    os.makedirs(mnt, exist_ok=True)
    bi.run('mkfs.btrfs', '-q', '-d', 'single', '-m', 'raid1', *images[:2])
    devs = attached(images)
    try:
        bi.run('btrfs', 'device', 'scan', *devs[:2], quiet=True)
        bi.run('mount', '-t', 'btrfs', devs[0], mnt)
        age(mnt, 4)
        bi.run('btrfs', 'device', 'add', '-f', devs[2], mnt, quiet=True)
        bi.run('btrfs', 'balance', 'start', '-dconvert=raid0', mnt, quiet=True)
        age(mnt, 5)
        bi.run('btrfs', 'device', 'remove', devs[0], mnt)
        bi.run('btrfs', 'replace', 'start', '-B', '-f', devs[1], devs[3], mnt, quiet=True)
        bi.run('btrfs', 'balance', 'start', '-f', '-dconvert=raid1,limit=1', '-mconvert=single',
               mnt, quiet=True)
        age(mnt, 6)
        bi.run('umount', mnt)
    finally:
        subprocess.run(['umount', mnt], check=False, stderr=subprocess.DEVNULL)
        for dev in devs:
            bi.run('losetup', '-d', dev)
    equal(top, images[2:], 'devices added, removed, replaced')
    dumps_equal(top, images[2:], 'devices added, removed, replaced')


def given_and_found(top):
    """The other devices by device=, and by looking for their fsid among the block devices."""
    images = bi.make_files(top, 3, 300 * bi.MIB)
    bi.run('mkfs.btrfs', '-q', '-d', 'raid0', '-m', 'raid1c3', *images)
    with bi.kernel_mounted(images, f'{top}/mnt') as mnt:
        age(mnt, 7)
    expected = kernel_walk(top, images)
    if KERNEL_ONLY:
        return
    with bi.our_mount(images[:1], f'{top}/mnt',
                      f'ro,device={images[2]},device={images[1]}') as mnt:
        bi.same_text(expected, bi.walk(mnt, f'{top}/ours.walk', *WALK), 'device=')
    devs = attached(images)
    try:
        with bi.our_mount(devs[1:2], f'{top}/mnt', 'ro') as mnt:
            bi.same_text(expected, bi.walk(mnt, f'{top}/ours.walk', *WALK), 'found by fsid')
    finally:
        for dev in devs:
            bi.run('losetup', '-d', dev)


def log_left_behind(top):
    """As after a power cut: the last committed state, and not what was only in the log."""
    image, = bi.make_files(top, 1, 400 * bi.MIB)
    copy = f'{top}/copy.img'
    bi.run('mkfs.btrfs', '-q', image)
    with bi.kernel_mounted([image], f'{top}/mnt', 'commit=300') as mnt:
        age(mnt, 8)
        bi.run('sync', '-f', mnt)
        for i in range(20):
            with open(f'{mnt}/logged-{i}', 'wb') as f:
                f.write(b'only in the log' * (i * 300 + 1))
                os.fsync(f.fileno())
        bi.run('cp', '--sparse=always', image, copy)
    os.rename(copy, image)
    text = bi.run('btrfs', 'inspect-internal', 'dump-super', image).decode()
    if not re.search(r'^log_root\s+[1-9]', text, re.M):
        raise bi.Failed('the image has no log')
    equal(top, [image], 'a log left behind', 'ro', 'ro,rescue=nologreplay')
    dumps_equal(top, [image], 'a log left behind')


def bad_data(top):
    """Data without a good copy: the same files fail, and the rest of them is read."""
    image, = bi.make_files(top, 1, 400 * bi.MIB)
    bi.run('mkfs.btrfs', '-q', '-d', 'single', '-m', 'dup', image)
    rng = random.Random(9)
    with bi.kernel_mounted([image], f'{top}/mnt', 'compress=zstd') as mnt:
        for i in range(60):
            size = rng.randrange(5000, 600000)
            data = rng.randbytes(size) if i % 2 else (b'text %d ' % i) * (size // 8)
            bi.save(f'{mnt}/file-{i}', data)
    tree = bi.run('btrfs', 'inspect-internal', 'dump-tree', '-t', 'chunk', image).decode()
    chunk = next(c for c in tree.split('FIRST_CHUNK_TREE CHUNK_ITEM')[1:] if 'type DATA' in c)
    start = int(chunk.split('stripe 0 devid 1 offset ')[1].split()[0])
    ranges = [(start + at, start + at + 4096) for at in
              (rng.randrange(0, 8 << 20) & ~4095 for _ in range(40))]
    bi.overwrite(image, rng, ranges=ranges)

    def failing_walk(mounted, out):
        with mounted([image], f'{top}/mnt', 'ro') as mnt:
            done = subprocess.run([bi.program('ubtrfs-walk'), '--out', out, *WALK, mnt],
                                  stderr=subprocess.DEVNULL, check=False)
        with open(out, encoding='ascii') as f:
            bad = f.read().count('read!EIO')
        if done.returncode != 1 or not bad:
            raise bi.Failed(f'exit code {done.returncode}, {bad} files fail')
        return out

    expected = failing_walk(bi.kernel_mounted, f'{top}/kernel.walk')
    if not KERNEL_ONLY:
        bi.same_text(expected, failing_walk(bi.our_mount, f'{top}/ours.walk'), 'bad data: walk')


CASES = (seed, changed_uuid, came_and_went, given_and_found, log_left_behind, bad_data)


def test():
    names = [a for a in sys.argv[1:] if not a.startswith('-')]
    failed = []
    for case in CASES:
        if names and case.__name__ not in names:
            continue
        with bi.scratch() as top:
            try:
                case(top)
                print(f'ok: {case.__name__}', flush=True)
            except bi.Failed as e:
                print(f'FAILED: {case.__name__}: {e}', flush=True)
                failed.append(case.__name__)
    if failed:
        raise bi.Failed(', '.join(failed))


if __name__ == '__main__':
    bi.need('root', 'loop devices', 'btrfs in the kernel')
    if not KERNEL_ONLY:
        bi.need('/dev/fuse')
        bi.need_programs('ubtrfs', 'ubtrfsctl', 'ubtrfs-dump')
    bi.own_namespace()
    bi.main(test)
