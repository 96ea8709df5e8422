#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Volumes that the kernel made, with every choice of bad devices that their profile bears.

usage: raid.py [--profile NAME] [--devices N]   (profile `special`: the last paragraph only)

Each is read whole by our engine (eng-compare) and compared with what was copied into it: as it is;
each copy first, which on raid5/6 means all of it rebuilt from parity; each set of devices missing,
overwritten, overwritten with their superblocks, and of two the one missing and the other
overwritten; and with a device that missed writes, made degraded. Files without checksums come along
where nothing but a checksum could tell (not under overwriting).

Then a filesystem that grew out of a seed, one whose fsid was changed, and devices found by scanning.
"""
import argparse
import itertools
import os
import random
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import btrfs_image as bi  # noqa: E402

COMPARE = os.path.join(bi.build_dir(), 'tests', 'interop', 'eng-compare')
# name, devices, how many may fail, ways to read
VOLUMES = (
    ('single', 1, 0, 1), ('dup', 1, 0, 2), ('raid0', 3, 0, 1), ('raid1', 2, 1, 2),
    ('raid1', 3, 1, 2), ('raid1c3', 3, 2, 3), ('raid1c4', 4, 3, 4), ('raid10', 4, 1, 2),
    ('raid5', 2, 1, 2), ('raid5', 3, 1, 2), ('raid5', 4, 1, 2), ('raid6', 3, 2, 2),
    ('raid6', 4, 2, 2), ('raid6', 5, 2, 2),
)
SIZES = (0, 100, 3000, 4096, 20000, 65536, 70000, 262144, 1000001, 3000000)


class Volume:
    def __init__(self, top, name, devices, bears, ways):
        self.top, self.name, self.bears, self.ways = top, name, bears, ways
        self.count = 0
        self.rng = random.Random(devices)
        self.source = f'{top}/source'
        self.images = bi.make_files(top, devices, 400 * bi.MIB)
        self.fill()

    def fill(self):
        shutil.rmtree(self.source, ignore_errors=True)
        os.makedirs(f'{self.source}/d')
        for size in SIZES:
            bi.save(f'{self.source}/d/noise.{size}', self.rng.randbytes(size))
        bi.run('mkfs.btrfs', '-q', '-f', '-d', self.name, '-m', self.name, *self.images,
               quiet=True)
        with bi.kernel_mounted(self.images, f'{self.top}/mnt') as mnt:
            bi.run('cp', '-a', f'{self.source}/.', mnt)
            self.write_nocow(mnt)

    def write_nocow(self, mnt):
        """A file without checksums, the same in both places; again: overwritten in place."""
        bi.save(f'{self.source}/nocow', self.rng.randbytes(2000000))
        if not os.path.exists(f'{mnt}/nocow'):
            bi.save(f'{mnt}/nocow', b'')
            bi.run('chattr', '+C', f'{mnt}/nocow')
        with open(f'{self.source}/nocow', 'rb') as f, open(f'{mnt}/nocow', 'r+b') as to:
            to.write(f.read())
        os.sync()
        self.same_times(mnt)

    def same_times(self, mnt):
        bi.run('cp', '-a', '--attributes-only', f'{self.source}/.', mnt)

    def compare(self, what, images, *options):
        done = subprocess.run([COMPARE, *options, '-d', self.source, *images], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            raise bi.Failed(f'{self.name} on {len(self.images)}, {what}: '
                            + done.stdout.decode('utf-8', 'replace')[-3000:])
        self.count += 1

    def saved(self):
        for path in self.images:
            bi.run('cp', '--sparse=always', path, path + '.saved')

    def restore(self, numbers):
        for i in numbers:
            bi.run('cp', '--sparse=always', self.images[i] + '.saved', self.images[i])

    def whole(self):
        for copy in range(self.ways + 1):
            self.compare(f'copy {copy} first', self.images, '-p', str(copy))

    def choices(self):
        for nr in range(1, self.bears + 1):
            yield from itertools.combinations(range(len(self.images)), nr)

    def missing(self):
        for bad in self.choices():
            left = [p for i, p in enumerate(self.images) if i not in bad]
            self.compare(f'without {bad}', left, '-D')

    def overwritten(self):
        with bi.kernel_mounted(self.images, f'{self.top}/mnt') as mnt:
            os.unlink(f'{mnt}/nocow')
            os.unlink(f'{self.source}/nocow')
            self.same_times(mnt)
        self.saved()
        for bad in self.choices():
            for i in bad:
                bi.overwrite(self.images[i], self.rng)
            self.compare(f'{bad} overwritten', self.images)
            if len(bad) > 1:
                left = [p for i, p in enumerate(self.images) if i != bad[0]]
                self.compare(f'{bad} overwritten, the first missing', left, '-D')
            for i in bad:
                bi.overwrite(self.images[i], self.rng, spare_supers=False)
            self.compare(f'{bad} overwritten whole', self.images, '-D')
            self.restore(bad)

    def missed_writes(self):
        """The kernel writes without one device; then that one is back, with its old contents."""
        self.fill()
        away = self.rng.randrange(len(self.images))
        bi.run('cp', '--sparse=always', self.images[away], self.images[away] + '.saved')
        bi.run('btrfs', 'device', 'scan', '--forget')
        left = [p for i, p in enumerate(self.images) if i != away]
        with bi.kernel_mounted(left, f'{self.top}/mnt', 'degraded') as mnt:
            self.write_nocow(mnt)
            bi.save(f'{mnt}/d/later', self.rng.randbytes(500000))
        # Some kernels lose some writes to a degraded raid5; what they read back is what counts.
        bi.run('btrfs', 'device', 'scan', '--forget')
        with bi.kernel_mounted(left, f'{self.top}/mnt', 'degraded,ro') as mnt:
            shutil.rmtree(self.source)
            bi.run('cp', '-a', mnt, self.source)
        self.compare(f'without {away}, written degraded', left, '-D')
        self.compare(f'{away} missed writes', self.images)


def seed(top):
    """The seed's data stay on it; what was written later is on the device that was added."""
    v = Volume(top, 'single', 1, 0, 1)
    stamp = os.stat(f'{v.source}/d')
    bi.run('btrfstune', '-S', '1', v.images[0], quiet=True)
    with open(f'{top}/sprout.img', 'wb') as f:
        f.truncate(400 * bi.MIB)
    loop = bi.run('losetup', '-f', '--show', f'{top}/sprout.img').decode().strip()
    try:
        with bi.kernel_mounted(v.images, f'{top}/mnt', 'ro') as mnt:
            bi.run('btrfs', 'device', 'add', '-f', loop, mnt, quiet=True)
            bi.run('mount', '-o', 'remount,rw', mnt)
            bi.save(f'{v.source}/d/sprouted', v.rng.randbytes(3000000))
            bi.run('cp', '-a', f'{v.source}/.', mnt)
            v.same_times(mnt)
    finally:
        bi.run('losetup', '-d', loop)
    both = [v.images[0], f'{top}/sprout.img']
    v.compare('seed and sprout', both)
    v.compare('sprout and seed', both[::-1])
    bi.run(COMPARE, '-d', v.source, both[1], ok=(2,), quiet=True)
    # The seed by itself is what it was.
    os.unlink(f'{v.source}/d/sprouted')
    os.utime(f'{v.source}/d', ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    v.compare('the seed alone', both[:1])
    print('seed: equal', flush=True)


def new_fsid_and_scan(top):
    v = Volume(top, 'dup', 1, 0, 2)
    bi.run('btrfstune', '-m', v.images[0], quiet=True)
    v.compare('metadata_uuid', v.images)
    v = Volume(top, 'raid1', 2, 1, 2)
    loops = []
    try:
        for path in v.images:
            loops.append(bi.run('losetup', '-r', '-f', '--show', path).decode().strip())
        v.compare('found by scanning', loops[1:], '-S')
    finally:
        for loop in loops:
            bi.run('losetup', '-d', loop)
    print('changed fsid, scan: equal', flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--profile')
    parser.add_argument('--devices', type=int)
    args = parser.parse_args()
    for name, devices, bears, ways in VOLUMES:
        if args.profile not in (None, name) or args.devices not in (None, devices):
            continue
        with bi.scratch() as top:
            v = Volume(top, name, devices, bears, ways)
            v.whole()
            if bears:
                v.missing()
                v.overwritten()
                if devices > bears + 1 or name == 'raid1':
                    v.missed_writes()
            print(f'{name} on {devices}: {v.count} ways to read it, all equal', flush=True)
    if args.profile in (None, 'special'):
        with bi.scratch() as top:
            seed(top)
        with bi.scratch() as top:
            new_fsid_and_scan(top)


if __name__ == '__main__':
    bi.need('root', 'loop devices', 'btrfs in the kernel')
    bi.own_namespace()
    bi.main(main)
