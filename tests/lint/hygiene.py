#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every source file names its licence, and none names a place on somebody's machine or a host.

usage: hygiene.py ROOT              check the files below ROOT
       hygiene.py --self-test ROOT  plant offences in a temporary tree and see each of them caught
"""
import os
import re
import subprocess
import sys
import tempfile

TAG = 'SPDX-License-Identifier: ' + 'GPL-2.0-or-later'
SOURCE = ('.c', '.h', '.py', '.sh', '.S', '.yml', 'meson.build', 'meson_options.txt')
# Places that exist on a developer's machine only, and where packages come from.
PLACES = re.compile(
    r'(?<![\w./}])/(?:work|farm|root|Users|mnt/[a-z])(?:/|\b)'
    r'|(?<![\w./}])/tmp/(?!x-|[\w.-]*XXXXXX)\w'
    r'|\b(?:deb|snapshot|archive|security|ftp|mirrors?|cdn)\.[\w.-]*(?:debian|ubuntu)\b'
    r'|\bpypi\.|\bcrates\.io|artifact[-]registry')
HOME = re.compile(r'(?<![\w./}])/home(?:/|\b)')
URL = re.compile(r'\b(?:https?|ftp)://')


def tracked(root):
    """The repository's files; of a tree without git (a tarball) everything but build folders."""
    try:
        git = subprocess.run(['git', '-C', root, 'ls-files', '-z', '--cached', '--others',
                              '--exclude-standard'], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, check=True)
        yield from (p for p in git.stdout.decode().split('\0') if os.path.isfile(f'{root}/{p}'))
        return
    except (OSError, subprocess.CalledProcessError):
        pass
    for folder, dirs, files in os.walk(root):
        dirs[:] = [d for d in dirs if not d.startswith('build') and d not in ('.git', '.cache')]
        yield from (os.path.relpath(f'{folder}/{name}', root) for name in files)


def findings(root, path):
    with open(f'{root}/{path}', 'rb') as f:
        data = f.read()
    if b'\0' in data[:8192] or os.path.basename(path) == 'LICENSE':
        return
    lines = data.decode('utf-8', 'replace').splitlines()
    if path.endswith(SOURCE) or data.startswith(b'#!'):
        if not any(TAG in line for line in lines[:3]):
            yield f'{path}:1: no SPDX line'
    for number, line in enumerate(lines, 1):
        place = PLACES.search(line)
        if place:
            yield f'{path}:{number}: names a place: {place.group(0)}'
        elif not path.endswith(('.md', '.8')) and (URL.search(line) or HOME.search(line)):
            yield f'{path}:{number}: names a host or a home'


def check(root):
    files = [p for p in sorted(tracked(root)) if p != 'tests/lint/hygiene.py']
    return [f for p in files for f in findings(root, p)], len(files)


# Put together here, so that no other search of this kind finds them in this file.
HOST = '.'.join(('deb', 'debian', 'org'))
WORK = '/'.join(('', 'work', ''))
PLANTS = {
    'a.c': 'int x;\n',
    'b/run': '#!/bin/sh\n',
    'c.py': f'# {TAG}\nopen("/home/me/x")\n',
    'd.h': f'// {TAG}\n// see http://example.org\n',
    'e.md': f'packages come from {HOST}\n',
    'f.c': f'\n\n\n// {TAG}\n',
    'g.sh': f'# {TAG}\ncd /tmp/mine\n',
    'h.md': f'built in {WORK}x\n',
}
GOOD = {
    'k.c': f'// {TAG}\n// a/b/home/x, network/, "/proc/self", "/tmp"\n',
    'l.md': 'see https://www.gnu.org\n',
    'm.img': f'\0{WORK}',
}


def self_test():
    with tempfile.TemporaryDirectory(prefix='ubtrfs-lint.') as tmp:
        os.mkdir(f'{tmp}/b')
        for path, text in (PLANTS | GOOD).items():
            with open(f'{tmp}/{path}', 'w', encoding='utf-8') as f:
                f.write(text)
        caught = [f.split(':')[0] for f in check(tmp)[0]]
    if caught != sorted(PLANTS):
        print(f'planted in {sorted(PLANTS)}\ncaught in  {caught}')
        return 1
    print(f'{len(PLANTS)} planted offences, all caught')
    return 0


def main():
    if sys.argv[1] == '--self-test':
        return self_test()
    found, files = check(sys.argv[1])
    print('\n'.join(found + [f'{files} files, {len(found)} findings']))
    return found != []


sys.exit(main())
