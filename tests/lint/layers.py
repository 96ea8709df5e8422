#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The layer check: a file includes its own folder and folders of strictly lower rank.

usage: layers.py ROOT              check the sources below ROOT
       layers.py --self-test ROOT  plant bad includes in a copy and see each of them caught

The ranks are those of engine/README.md. Beyond them:
- fuse/ and tools/ see the engine only through engine/engine.h, engine/inspect.h and engine/lab.h;
- these three are the face of api/: lower folders do not include them, and they include ondisk/ only;
- fuse/ioctl.h is public in the same way: other programs include it;
- a *_priv.h is included in its own folder only, and by unit tests of what is inside;
- an include in quotes is a full path from the root, of a file that exists.
"""
import os
import re
import shutil
import sys
import tempfile

RANKS = {
    'ondisk': 0, 'engine/util': 1, 'engine/io': 2, 'engine/volume': 3, 'engine/cache': 4,
    'engine/btree': 5, 'engine/space': 6, 'engine/txn': 7, 'engine/file': 8, 'engine/subvol': 9,
    'engine/log': 10, 'engine/maint': 11, 'engine/stream': 11, 'engine/api': 12, 'fuse': 13,
    'tools': 13, 'tests': 14,
}
PUBLIC = {'engine/engine.h', 'engine/inspect.h', 'engine/lab.h', 'fuse/ioctl.h'}
TOPS = ('ondisk', 'engine', 'fuse', 'tools', 'tests')
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]*)"')


def folder_of(path):
    """The ranked folder that a path belongs to, or None."""
    parts = path.split('/')
    for depth in (2, 1):
        folder = '/'.join(parts[:depth])
        if len(parts) > depth and folder in RANKS:
            return folder
    return None


def verdict(root, path, included):
    """Why `path` must not include `included`, or None."""
    here, there = folder_of(path), folder_of(included)
    if not os.path.isfile(f'{root}/{included}'):
        return 'is no path from the root'
    if (included.endswith('_priv.h') and os.path.dirname(included) != os.path.dirname(path)
            and os.path.dirname(path) != 'tests/unit'):
        return 'is private to its folder'
    if path in PUBLIC:
        return None if there == 'ondisk' or included in PUBLIC else 'is behind a public header'
    if here is None:
        return f'from a folder without a rank: {os.path.dirname(path)}'
    if included in PUBLIC:
        return None if RANKS[here] >= RANKS['engine/api'] else 'is above this layer'
    if there is None:
        return 'is in a folder without a rank'
    if here == there:
        return None
    if here in ('fuse', 'tools') and there != 'ondisk':
        return 'is not public'
    if RANKS[there] >= RANKS[here]:
        return f'is of rank {RANKS[there]}, this file of rank {RANKS[here]}'
    return None


def sources(root):
    for top in TOPS:
        for folder, dirs, files in os.walk(f'{root}/{top}'):
            dirs[:] = sorted(d for d in dirs if not d.startswith(('.', 'build')))
            for name in sorted(files):
                if name.endswith(('.c', '.h')):
                    yield os.path.relpath(f'{folder}/{name}', root)


def check(root):
    found, includes = [], 0
    for path in sources(root):
        with open(f'{root}/{path}', encoding='utf-8') as f:
            for number, line in enumerate(f, 1):
                m = INCLUDE.match(line)
                if not m:
                    continue
                includes += 1
                why = verdict(root, path, m.group(1))
                if why:
                    found.append(f'{path}:{number}: "{m.group(1)}" {why}')
    return found, includes


# (file, line): each must be reported, as that file's only finding.
PLANTS = [
    ('ondisk/plant.c', '#include "engine/util/err.h"'),
    ('engine/io/plant.c', '#include "engine/volume/plant.h"'),
    ('engine/volume/plant.c', '#include "engine/io/plant_priv.h"'),
    ('engine/util/plant.h', '  #  include "engine/io/plant.h"'),
    ('engine/util/plant2.h', '#include "engine/lab.h"'),
    ('engine/engine.h', '#include "engine/util/err.h"'),
    ('engine/new/plant.c', '#include "ondisk/endian.h"'),
    ('engine/maint/plant.c', '#include "engine/stream/plant.h"'),
    ('fuse/plant.c', '#include "engine/util/err.h"'),
    ('fuse/plant2.c', '#include "tools/plant.h"'),
    ('tools/plant.c', '#include "plant.h"'),
    ('tests/lib/plant.c', '#include "engine/io/plant_priv.h"'),
]
GOOD = [
    ('engine/io/plant.h', '#include "engine/util/err.h"'),
    ('engine/io/plant_priv.h', '#include "engine/io/plant.h"'),
    ('engine/volume/plant.h', '#include "engine/io/plant.h"'),
    ('engine/stream/plant.h', '#include <stdio.h>'),
    ('engine/lab.h', '#include "ondisk/endian.h"'),
    ('tools/plant.h', '#include "engine/lab.h"'),
    ('tests/unit/good.c', '#include "engine/io/plant_priv.h"'),
]


def plant(root, path, line):
    os.makedirs(os.path.dirname(f'{root}/{path}'), exist_ok=True)
    with open(f'{root}/{path}', 'w', encoding='utf-8') as f:
        f.write(line + '\n')


def self_test(root):
    with tempfile.TemporaryDirectory(prefix='ubtrfs-lint.') as tmp:
        for top in TOPS:
            shutil.copytree(f'{root}/{top}', f'{tmp}/{top}', ignore=shutil.ignore_patterns(
                'build*', '.*', '*.img'), symlinks=True)
        before = set(check(tmp)[0])
        for path, line in GOOD + PLANTS:
            plant(tmp, path, line)
        caught = [f.split(':')[0] for f in check(tmp)[0] if f not in before]
    expected = sorted(path for path, _ in PLANTS)
    if sorted(caught) != expected:
        print(f'planted in {expected}\ncaught in  {sorted(caught)}')
        return 1
    print(f'{len(PLANTS)} planted includes, all caught')
    return 0


def main():
    if len(sys.argv) == 3 and sys.argv[1] == '--self-test':
        return self_test(sys.argv[2])
    found, includes = check(sys.argv[1])
    print('\n'.join(found + [f'{includes} includes, {len(found)} against the layers']))
    return found != []


sys.exit(main())
