#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Small images that hold nearly every kind of item, for tests that damage them.

usage: small_image.py KIND OUT

KIND  small  mixed block groups, 16 MiB (the least that mkfs.btrfs makes)
      dup    metadata twice, quotas, SHA-256, block group tree
      tiny   as small, by mkfs.btrfs alone and of a few files: for fuzzing

Without root or loop devices small and dup are made by mkfs.btrfs alone as well: no snapshot, no
preallocation. What was done is said on stdout.
"""
import os
import shutil
import subprocess
import sys
import tempfile

import btrfs_image

MKFS = {
    'small': ['--mixed', '-n', '4096', '-L', 'small'],
    'dup': ['-n', '4096', '-m', 'dup', '-d', 'single', '--csum', 'sha256',
            '-O', 'block-group-tree', '-L', 'dup'],
    'tiny': ['--mixed', '-n', '4096'],
}
MIB = {'small': 16, 'dup': 128, 'tiny': 16}


def sh(*argv, ok=True):
    r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if ok and r.returncode:
        raise RuntimeError(f'{" ".join(argv)}: {r.stdout}')
    return r.stdout.strip()


def write(path, data):
    with open(path, 'wb') as f:
        f.write(data)


def noise(n, seed=1):
    out, x = bytearray(), seed * 2654435761 & 0xFFFFFFFF
    while len(out) < n:
        x = (x * 1664525 + 1013904223) & 0xFFFFFFFF
        out += x.to_bytes(4, 'little')
    return bytes(out[:n])


def text(n):
    return (b'the same words again and again ' * (n // 31 + 1))[:n]


def plain_files(top, files=24, hole=5 << 30):
    """What can be made in any directory."""
    write(f'{top}/inline', b'small and inline\n')
    write(f'{top}/empty', b'')
    write(f'{top}/regular', noise(20000))
    with open(f'{top}/sparse', 'wb') as f:
        f.seek(40960)
        f.write(noise(5000, 2))
        f.truncate(hole)
    os.symlink('dir/hard', f'{top}/link')
    os.mkdir(f'{top}/dir')
    write(f'{top}/dir/hard', b'two names')
    os.link(f'{top}/dir/hard', f'{top}/hard')
    os.setxattr(f'{top}/inline', 'user.one', b'value')
    os.setxattr(f'{top}/dir', 'user.two', b'x' * 200)
    write(f'{top}/packed', text(70000))
    os.mkdir(f'{top}/sub')
    write(f'{top}/sub/in', noise(6000, 3))
    os.mkfifo(f'{top}/fifo')
    for i in range(files):
        write(f'{top}/dir/file{i}', text(i * 3 + 1))
        os.utime(f'{top}/dir/file{i}', (10**9 + i, 10**9 + 2 * i))


def kernel_files(m):
    """What needs the filesystem itself."""
    with open(f'{m}/prealloc', 'wb') as f:
        os.posix_fallocate(f.fileno(), 0, 65536)
        os.pwrite(f.fileno(), noise(4096, 4), 8192)
    for how in ('zlib', 'lzo', 'zstd'):
        open(f'{m}/{how}', 'wb').close()
        sh('btrfs', 'property', 'set', f'{m}/{how}', 'compression', how)
        write(f'{m}/{how}', text(40000))
        open(f'{m}/{how}-inline', 'wb').close()
        sh('btrfs', 'property', 'set', f'{m}/{how}-inline', 'compression', how)
        write(f'{m}/{how}-inline', text(1000))
    # More names than one item of a 4 KiB leaf holds: INODE_EXTREF.
    os.mkdir(f'{m}/names')
    for i in range(20):
        os.link(f'{m}/hard', f'{m}/names/{i:02}' + 'n' * 220)
    # Two pairs of xattrs, each with one hash.
    for n in ('user.88bzilh', 'user.2ofmlwb', 'user.mxpv28v', 'user.ve0dggj'):
        os.setxattr(f'{m}/regular', n, n.encode())
    sh('cp', '--reflink=always', f'{m}/regular', f'{m}/clone')
    sh('btrfs', 'subvolume', 'create', f'{m}/volume')
    write(f'{m}/volume/file', noise(9000, 5))
    os.mkdir(f'{m}/volume/d')
    sh('btrfs', 'subvolume', 'create', f'{m}/volume/inner')
    sh('btrfs', 'subvolume', 'snapshot', '-r', f'{m}/volume', f'{m}/snap')
    if os.geteuid() == 0:
        os.mknod(f'{m}/null', 0o20644, os.makedev(1, 3))


def by_mkfs(kind, out):
    with tempfile.TemporaryDirectory(prefix='ubtrfs-image.') as tmp:
        # mkfs.btrfs writes holes out.
        plain_files(tmp, 2 if kind == 'tiny' else 24, 100000)
        sh('mkfs.btrfs', '-q', '-f', *MKFS[kind], '--rootdir', tmp, '--subvol', 'sub', '--compress',
           'zstd', out)


def by_kernel(kind, out):
    with tempfile.TemporaryDirectory(prefix='ubtrfs-image.') as m:
        sh('mkfs.btrfs', '-q', '-f', *MKFS[kind], out)
        loop = sh('losetup', '-f', '--show', out)
        try:
            sh('mount', '-t', 'btrfs', '-o', 'noatime,max_inline=2048', loop, m)
            try:
                plain_files(m)
                sh('sync', '-f', m)
                kernel_files(m)
                if kind == 'dup':
                    sh('btrfs', 'quota', 'enable', m)
                    sh('btrfs', 'quota', 'rescan', '-w', m)
            finally:
                sh('umount', m)
        finally:
            sh('losetup', '-d', loop)


def can_mount():
    return os.geteuid() == 0 and os.path.exists('/dev/loop-control') and \
        'btrfs' in open('/proc/filesystems').read()


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in MKFS:
        sys.exit(__doc__)
    kind, out = sys.argv[1:]
    made = out + '.new'
    with open(made, 'wb') as f:
        f.truncate(MIB[kind] << 20)
    kernel = kind != 'tiny' and can_mount()
    if kernel:
        btrfs_image.own_namespace()  # a mount that another namespace has copied stays mounted
    (by_kernel if kernel else by_mkfs)(kind, made)
    shutil.move(made, out)
    print(f'{out}: {kind}, made by {"the kernel" if kernel else "mkfs.btrfs --rootdir"}')


main()
