#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that the kernel wrote, with their extents shared and summed in every way, are removed and cut by us: btrfs
check and scrub must like what is left, and our references must lead where the trees do.

usage: drop_data.py [--seed N] [--plant]
"""
import argparse
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import backref  # noqa: E402
import btrfs_image as bi  # noqa: E402

ENG_DO = os.path.join(bi.build_dir(), 'tests', 'interop', 'eng-do')
MADE = (('', ''), ('-n 4k', 'compress=zstd'), ('-n 4k --mixed -O block-group-tree', 'nodatasum'))


def big_files(mnt, rng):
    """Long items of checksums, holes cut into them, preallocation, extents used from their middle."""
    for i in range(6):
        with open(f'{mnt}/tree/big{i}', 'wb') as f:
            f.write(rng.randbytes(3 << 20))
        os.sync()
    for i in range(0, 6, 2):
        bi.run('cp', '--reflink=always', f'{mnt}/tree/big{i}', f'{mnt}/tree/part{i}')
        bi.run('fallocate', '-p', '-o', str(1 << 20), '-l', str(1 << 20), f'{mnt}/tree/big{i}')
        bi.run('fallocate', '-l', str(2 << 20), f'{mnt}/tree/ahead{i}')
    os.sync()


def script(rng, names):
    lines = []
    for name in names:
        what = rng.random()
        if what < 0.55:
            lines.append(f'unlink\t{name}')
        elif what < 0.8:
            sizes = (0, 4096) if name.split('/')[1][0] in 'cf' else (0, 4096, 1 << 20, 5 << 18)
            lines.append(f'truncate\t{name}\t{rng.choice(sizes)}')
        if rng.random() < 0.02:
            lines.append('sync')
    return '\n'.join(lines) + '\n'


def drop(image, text):
    done = subprocess.run([ENG_DO, image], input=text.encode(), stdout=subprocess.PIPE, check=False)
    answers = done.stdout.decode().split()
    wrong = [(a, line) for a, line in zip(answers, text.splitlines()) if a != '0']
    if done.returncode or wrong or len(answers) != len(text.splitlines()):
        raise bi.Failed(f'eng-do: exit code {done.returncode}, {wrong[:3]}')


def judge(image, top):
    bi.run('btrfs', 'check', '--check-data-csum', image, quiet=True)
    bi.run(backref.JUDGE, image)
    with bi.kernel_mounted([image], f'{top}/mnt') as mnt:
        bi.run('btrfs', 'scrub', 'start', '-B', mnt, quiet=True)


def run_all(seed):
    with bi.scratch() as top:
        for nr, (mkfs, mount) in enumerate(MADE):
            rng = random.Random(seed * 10 + nr)
            image, = bi.make_files(top, 1, 512 * bi.MIB)
            bi.run('mkfs.btrfs', '-q', '-f', *mkfs.split(), image, quiet=True)
            with bi.kernel_mounted([image], f'{top}/mnt', ','.join(filter(None, ('max_inline=0', mount)))) as mnt:
                bi.run('btrfs', 'subvolume', 'create', f'{mnt}/tree', quiet=True)
                big_files(mnt, rng)
                backref.share(mnt)
                names = [f'{sub}/{n}' for sub in ('tree', 'one', 'two') for n in sorted(os.listdir(f'{mnt}/{sub}'))]
            rng.shuffle(names)
            half = len(names) // 2
            for part in (names[:half], names[half:]):
                drop(image, script(rng, part))
                judge(image, top)
            print(f'{mkfs} {mount}: {len(names)} files')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--plant', action='store_true', help='a fault is planted: it must be found')
    args = parser.parse_args()
    bi.need('root', 'loop devices', 'btrfs in the kernel')
    bi.own_namespace()
    try:
        run_all(args.seed)
    except bi.Failed as e:
        if not args.plant:
            raise
        print(f'found: {e}')
        return
    if args.plant:
        raise bi.Failed('the planted fault was not found')


if __name__ == '__main__':
    bi.main(main)
