#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A million files under metadata_cache=16M: the daemon stays under 96 MiB resident.

The kernel forgets no inode before the unmount, so this is the price of an inode in our tables. The
image is made once a build directory.
"""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import btrfs_image as bi  # noqa: E402

DIRS, FILES = 100, 10000
LIMIT_KIB = 96 << 10


def make(image, mnt):
    if os.path.exists(image):
        return
    part = f'{image}.{os.getpid()}'
    try:
        with open(part, 'wb') as f:
            f.truncate(3 << 30)
        bi.run('mkfs.btrfs', '-q', part)
        with bi.kernel_mounted([part], mnt):
            bi.run(bi.program('ubtrfs-mkfiles'), mnt, DIRS, FILES)
        os.rename(part, image)
    finally:
        if os.path.exists(part):
            os.unlink(part)


def memory():
    """Of all processes of the mount together, in KiB."""
    used = {'VmHWM': 0, 'VmRSS': 0}
    for pid in bi.daemons():
        with open(f'/proc/{pid}/status', encoding='ascii') as f:
            fields = dict(line.split(':', 1) for line in f)
        for key in used:
            used[key] += int(fields[key].split()[0])
    return used


def test():
    image = os.path.join(bi.build_dir(), 'million.img')
    with bi.scratch() as top:
        make(image, f'{top}/mnt')
        with bi.our_mount([image], f'{top}/mnt', 'ro,metadata_cache=16M') as mnt:
            started = time.monotonic()
            find = subprocess.run(['find', mnt, '-type', 'f', '-printf', '%s\n'],
                                  stdout=subprocess.PIPE, check=False)
            took = time.monotonic() - started
            used = memory()
    count = find.stdout.count(b'\n')
    print(f"{count} files in {took:.1f} s; daemon at most {used['VmHWM']} KiB resident, "
          f"{used['VmRSS']} KiB at the end")
    if find.returncode or count != DIRS * FILES:
        raise bi.Failed(f'find: exit code {find.returncode}, {count} files')
    if max(used.values()) >= LIMIT_KIB:
        raise bi.Failed(f'more than {LIMIT_KIB} KiB')


if __name__ == '__main__':
    bi.need('root', '/dev/fuse', 'loop devices', 'btrfs in the kernel')
    bi.need_programs('ubtrfs', 'ubtrfsctl')
    bi.own_namespace()
    bi.main(test)
