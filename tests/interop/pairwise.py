#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The configurations that images are made in: a pairwise set for every day, the product for the night.

Compression is no parameter: it is a property of an extent, and every image is aged under each
algorithm in turn. So is the number of missing or overwritten devices: each image is tried with all
that its profiles bear. What is left is more pairs than so few rows can hold (nine profiles with four
checksums alone need more); data and metadata of an image may have two profiles, which covers most.

usage: pairwise.py [--full]     prints the rows and how many of all possible pairs they cover
"""
import itertools
import random
import sys

ROWS = 14
# name: (devices, of which may be lost)
PROFILES = {
    'single': (1, 0), 'dup': (1, 0), 'raid0': (3, 0), 'raid1': (2, 1), 'raid1c3': (3, 2),
    'raid1c4': (4, 3), 'raid10': (4, 1), 'raid5': (3, 1), 'raid6': (4, 2),
}
PARAMETERS = {
    'csum': ('crc32c', 'xxhash', 'sha256', 'blake2'),
    'nodesize': (4096, 16384, 65536),
    'space': ('v2', 'v1', 'block-group-tree'),
    'holes': ('no-holes', '^no-holes'),
    'groups': ('separate', 'mixed'),
    'quota': ('none', 'quota', 'squota'),
    'default': ('top', 'subvol'),
}
# (data, metadata): each profile as both once, and some pairs that people use. Where the two bear a
# different number of lost devices, the lesser counts.
PAIRS = [(p, p) for p in PROFILES] + [
    ('single', 'dup'), ('raid5', 'raid1'), ('raid6', 'raid1c3'), ('raid0', 'raid1c4'),
    ('raid1', 'raid10'),
]


def possible(row):
    """What mkfs.btrfs and Linux accept together."""
    if row['groups'] == 'mixed' and (row['nodesize'] != 4096 or row['data'] != row['metadata']):
        return False
    return not (row['space'] == 'block-group-tree' and row['holes'] != 'no-holes')


def devices(row):
    """(how many devices, how many of them may be lost)"""
    d, m = PROFILES[row['data']], PROFILES[row['metadata']]
    return max(d[0], m[0]), min(d[1], m[1])


def facts(row):
    return ([(k, row[k]) for k in PARAMETERS]
            + sorted({('profile', row['data']), ('profile', row['metadata'])}))


def pairs(row):
    return {p for p in itertools.combinations(facts(row), 2) if p[0][0] != p[1][0]}


def all_rows(profile_pairs):
    for data, metadata in profile_pairs:
        for values in itertools.product(*PARAMETERS.values()):
            row = dict(zip(PARAMETERS, values), data=data, metadata=metadata)
            if possible(row):
                yield row


def pairwise():
    """One row for each pair of profiles, the rest of it chosen for the most pairs not seen yet."""
    rng = random.Random(14)
    rows, seen = [], set()
    for pair in PAIRS[:ROWS]:
        choices = list(all_rows([pair]))
        rng.shuffle(choices)
        best = max(choices, key=lambda row: len(pairs(row) - seen))
        seen |= pairs(best)
        rows.append(best)
    # A row is chosen again when others have taken what it was chosen for.
    for _ in range(3):
        for i, row in enumerate(rows):
            others = set().union(*(pairs(r) for k, r in enumerate(rows) if k != i))
            choices = list(all_rows([(row['data'], row['metadata'])]))
            rng.shuffle(choices)
            rows[i] = max(choices, key=lambda r: len(pairs(r) - others))
    return rows


def product():
    """Every combination of what is in the format; quotas and default subvolumes take turns."""
    kept = {k: PARAMETERS[k] for k in PARAMETERS if k not in ('quota', 'default')}
    rows = []
    for i, values in enumerate(itertools.product(*kept.values(), PROFILES)):
        row = dict(zip(kept, values), data=values[-1], metadata=values[-1],
                   quota=PARAMETERS['quota'][i % 3], default=PARAMETERS['default'][i % 2])
        if possible(row):
            rows.append(row)
    return rows


def describe(row):
    return ' '.join([f"{row['data']}/{row['metadata']}"] + [str(row[k]) for k in PARAMETERS])


def main():
    rows = product() if '--full' in sys.argv else pairwise()
    for i, row in enumerate(rows):
        print(f'{i:3} {describe(row)}')
    covered = set().union(*(pairs(r) for r in rows))
    reachable = set().union(*(pairs(r) for r in all_rows(PAIRS)))
    values = {f for r in rows for f in facts(r)}
    missing = {f for r in all_rows(PAIRS) for f in facts(r)} - values
    print(f'{len(rows)} rows cover {len(covered)} of {len(reachable)} pairs; values without a row: '
          f'{sorted(map(str, missing)) or "none"}')
    return bool(missing)


if __name__ == '__main__':
    sys.exit(main())
