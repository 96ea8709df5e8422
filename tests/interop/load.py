#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Block groups of kernel-made filesystems as the write engine loads them, beside what the kernel says.

usage: load.py [--ops N]
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import btrfs_image as bi  # noqa: E402

JUDGE = os.path.join(bi.build_dir(), 'tests', 'interop', 'load-judge')
# mkfs options, devices, has a free-space tree
CASES = (
    ('-m dup -d single', 1, True),
    ('-m single -d single -n 4k', 1, True),
    ('-m dup -d dup -O block-group-tree', 1, True),
    ('-m dup -d single -O ^free-space-tree -R ^free-space-tree', 1, False),
    ('--mixed -n 4k', 1, True),
    ('--mixed -m dup -d dup -n 4k -O ^free-space-tree -R ^free-space-tree', 1, False),
    ('-m raid1 -d raid0', 2, True),
    ('-m raid1c3 -d single', 3, True),
)


def kernels_view(mnt, image_count):
    """{type: (profile, total, used)} and the raw unallocated bytes, as the kernel counts them."""
    out = {}
    for line in bi.run('btrfs', 'filesystem', 'df', '-b', mnt, quiet=True).decode().splitlines():
        name, values = line.split(':')
        kind, profile = (part.strip() for part in name.split(','))
        total, used = (int(part.split('=')[1]) for part in values.split(','))
        if kind != 'GlobalReserve':
            out[kind.upper()] = (profile, total, used)
    unallocated = 0
    for line in bi.run('btrfs', 'device', 'usage', '-b', mnt, quiet=True).decode().splitlines():
        if line.strip().startswith('Unallocated:'):
            unallocated += int(line.split()[-1])
    # The first MiB of a device is in no chunk and never will be.
    return out, unallocated - image_count * bi.MIB


def ours(images, want_fst):
    view, unallocated, fst = {}, None, None
    for line in bi.run(JUDGE, *images).decode().splitlines():
        words = line.split()
        if words[0] == 'unallocated':
            unallocated = int(words[1])
        elif words[0] == 'fst':
            fst = words[1] == 'yes'
        elif words[0] != 'groups':
            view[words[0]] = (words[1], int(words[2]), int(words[3]))
    if fst != want_fst:
        raise bi.Failed(f'free-space tree: {fst}, wanted {want_fst}')
    return view, unallocated


def compare(images, mnt, want_fst, what):
    with bi.kernel_mounted(images, mnt, 'ro'):
        theirs, their_free = kernels_view(mnt, len(images))
    view, free = ours(images, want_fst)
    for kind, (profile, total, used) in theirs.items():
        got = view[kind]
        if got[1:] != (total, used) or got[0] != (profile if profile in ('single', 'DUP') else 'other'):
            raise bi.Failed(f'{what}: {kind}: {got}, the kernel says {(profile, total, used)}')
    if free != their_free:
        raise bi.Failed(f'{what}: {free} bytes unallocated, the kernel says {their_free}')
    print(f'{what}: {len(theirs)} types, {free} bytes unallocated: as the kernel says')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--ops', type=int, default=200)
    args = parser.parse_args()
    bi.need('root', 'loop devices', 'btrfs in the kernel')
    bi.own_namespace()
    with bi.scratch() as top:
        for seed, (mkfs, devices, fst) in enumerate(CASES):
            images = bi.make_files(top, devices, 600 * bi.MIB)
            bi.run('mkfs.btrfs', '-q', '-f', *mkfs.split(), *images, quiet=True)
            # v1 would write its cache files; without a free-space tree none is made.
            options = '' if fst else 'nospace_cache'
            compare(images, f'{top}/mnt', fst, f'{mkfs}, fresh')
            with bi.kernel_mounted(images, f'{top}/mnt', options) as mnt:
                bi.run(bi.program('ubtrfs-age'), mnt, '--ops', args.ops, '--seed', seed)
            compare(images, f'{top}/mnt', fst, f'{mkfs}, aged')


if __name__ == '__main__':
    bi.main(main)
