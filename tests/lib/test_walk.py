#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Plants one difference of each kind in a directory and sees that ubtrfs-walk's listing tells it.

usage: test_walk.py UBTRFS-WALK
"""
import os
import shutil
import socket
import subprocess
import sys
import tempfile

WALK = sys.argv[1]
NS = 10**9


def listing(top, *options):
    run = subprocess.run([WALK, *options, top], stdout=subprocess.PIPE, check=False)
    return run.returncode, dict(
        line.split(' ', 1) for line in run.stdout.decode('ascii').splitlines())


def write(path, data):
    with open(path, 'wb') as f:
        f.write(data)


def build(top):
    """A small tree with one entry of each type; every time is fixed, so two builds list equally."""
    os.makedirs(f'{top}/dir/deep')
    write(f'{top}/file', b'hello' * 3000)
    write(f'{top}/empty', b'')
    write(f'{top}/new\nline \\ \xff'.encode('utf-8', 'surrogateescape'), b'odd')
    os.symlink('target', f'{top}/symlink')
    os.mkfifo(f'{top}/fifo')
    s = socket.socket(socket.AF_UNIX)
    here = os.open('.', os.O_RDONLY)
    os.chdir(top)
    s.bind('socket')
    os.fchdir(here)
    os.close(here)
    s.close()
    os.link(f'{top}/file', f'{top}/dir/link')
    write(f'{top}/twin', b'hello' * 3000)
    with open(f'{top}/sparse', 'wb') as f:
        os.truncate(f.fileno(), 1 << 32)
        os.pwrite(f.fileno(), b'x' * 4096, 1 << 20)
        os.pwrite(f.fileno(), b'\0' * 4096, 2 << 20)
    os.setxattr(f'{top}/file', 'user.a', b'1')
    os.setxattr(f'{top}/file', 'user.long', b'1' * 300)
    if os.geteuid() == 0:
        os.mknod(f'{top}/char', 0o20600, os.makedev(5, 7))
        os.setxattr(f'{top}/symlink', 'trusted.t', b't', follow_symlinks=False)
    set_times(top)


def set_times(top):
    for path, dirs, files in os.walk(top, topdown=False):
        for name in [*files, *dirs, '.']:
            os.utime(f'{path}/{name}', ns=(5 * NS + 1, 7 * NS + 3), follow_symlinks=False)


def rewrite(path, off, data):
    fd = os.open(path, os.O_WRONLY)
    os.pwrite(fd, data, off)
    os.close(fd)


def relink(top):
    """The same names, types, link counts and contents, but another file of the two is linked."""
    for old, new in (('twin', 'file'), ('file', 'twin')):
        os.unlink(f'{top}/{old}')
        write(f'{top}/{old}', b'hello' * 3000)
    os.unlink(f'{top}/dir/link')
    os.link(f'{top}/twin', f'{top}/dir/link')
    for attr, value in (('user.a', b'1'), ('user.long', b'1' * 300)):
        os.setxattr(f'{top}/file', attr, value)


def punch(top):
    """Zeros become a hole: content is the same, the map is not."""
    with open(f'{top}/sparse', 'wb') as f:
        os.truncate(f.fileno(), 1 << 32)
        os.pwrite(f.fileno(), b'x' * 4096, 1 << 20)


# name: (function, listed paths that must differ or be there once, a word in the differing line)
PLANTS = {
    'mode': (lambda t: os.chmod(f'{t}/file', 0o600), {'./file', './dir/link'}, 'mode=0600'),
    'setuid': (lambda t: os.chmod(f'{t}/empty', 0o4644), {'./empty'}, 'mode=4644'),
    'size': (lambda t: os.truncate(f'{t}/empty', 1), {'./empty'}, 'size=1'),
    'content': (lambda t: rewrite(f'{t}/file', 14999, b'p'), {'./file', './dir/link'}, 'sha256='),
    'content far out': (lambda t: rewrite(f'{t}/sparse', (2 << 20) + 7, b'p'), {'./sparse'},
                        'sha256='),
    'moved content': (lambda t: (punch(t), rewrite(f'{t}/sparse', 1 << 20, b'\0' * 4096),
                                 rewrite(f'{t}/sparse', 2 << 20, b'x' * 4096)),
                      {'./sparse'}, 'sha256='),
    'hole map': (punch, {'./sparse'}, 'data=1048576+4096, '),
    'symlink target': (lambda t: (os.unlink(f'{t}/symlink'), os.symlink('Target', f'{t}/symlink')),
                       {'./symlink'}, 'target=Target'),
    'type': (lambda t: (os.unlink(f'{t}/fifo'), write(f'{t}/fifo', b'')), {'./fifo'}, 'f '),
    'name lost': (lambda t: os.unlink(f'{t}/empty'), {'./empty'}, ''),
    'name new': (lambda t: write(f'{t}/dir/deep/new', b''), {'./dir/deep/new'}, 'f '),
    'name case': (lambda t: os.rename(f'{t}/empty', f'{t}/Empty'), {'./empty', './Empty'}, ''),
    'link count': (lambda t: os.link(f'{t}/empty', f'{t}/dir/empty'),
                   {'./empty', './dir/empty'}, 'nlink=2'),
    'link group': (relink, {'./dir/link', './twin', './file'}, ''),
    'xattr value': (lambda t: os.setxattr(f'{t}/file', 'user.a', b'2'), {'./file', './dir/link'},
                    'xattr:user.a=32'),
    'xattr long value': (lambda t: os.setxattr(f'{t}/file', 'user.long', b'1' * 299 + b'2'),
                         {'./file', './dir/link'}, 'xattr:user.long=300:sha256:'),
    'xattr new': (lambda t: os.setxattr(f'{t}/dir', 'user.b', b''), {'./dir'}, 'xattr:user.b='),
    'xattr lost': (lambda t: os.removexattr(f'{t}/file', 'user.a'), {'./file', './dir/link'}, ''),
    'mtime ns': (lambda t: os.utime(f'{t}/fifo', ns=(5 * NS + 1, 7 * NS + 4)), {'./fifo'},
                 'mtime=7.000000004'),
    'mtime 1901': (lambda t: os.utime(f'{t}/fifo', ns=(5 * NS + 1, -2**31 * NS)), {'./fifo'},
                   'mtime=-2147483648.000000000'),
    'symlink mtime': (lambda t: os.utime(f'{t}/symlink', ns=(5 * NS + 1, 9 * NS),
                                         follow_symlinks=False), {'./symlink'}, 'mtime=9.0'),
    'atime': (lambda t: os.utime(f'{t}/fifo', ns=(6 * NS, 7 * NS + 3)), {'./fifo'}, 'atime=6.0'),
}
ROOT_PLANTS = {
    'uid': (lambda t: os.chown(f'{t}/empty', 12, -1), {'./empty'}, 'uid=12'),
    'gid of symlink': (lambda t: os.lchown(f'{t}/symlink', -1, 13), {'./symlink'}, 'gid=13'),
    'rdev': (lambda t: (os.unlink(f'{t}/char'), os.mknod(f'{t}/char', 0o20600, os.makedev(5, 8))),
             {'./char'}, 'rdev=5:8'),
    'xattr of symlink': (lambda t: os.setxattr(f'{t}/symlink', 'trusted.t', b'u',
                                               follow_symlinks=False), {'./symlink'},
                         'xattr:trusted.t=75'),
}
# ctime is the one time that cannot be set.
OPTIONS = ['--hash', '--atime', '--skip', 'ctime,dirsize']


def main():
    plants = dict(PLANTS)
    if os.geteuid() == 0:
        plants.update(ROOT_PLANTS)
    failed = 0
    tmp = tempfile.mkdtemp(prefix='ubtrfs-walk.')
    try:
        build(f'{tmp}/base')
        code, base = listing(f'{tmp}/base', *OPTIONS)
        assert code == 0 and len(base) >= 12, (code, base)
        build(f'{tmp}/same')
        code, same = listing(f'{tmp}/same', *OPTIONS)
        assert code == 0 and same == base, 'two equal trees list differently'
        code, again = listing(f'{tmp}/base', *OPTIONS)
        for tree in (base, again):
            tree.pop('./symlink')  # readlink(2) updates the access time, whatever we do
        assert again == base, 'listing changed the tree'
        base['./symlink'] = same['./symlink']
        assert listing(f'{tmp}/base')[1] != listing(f'{tmp}/same')[1], 'ctime is not listed'
        assert listing(f'{tmp}/none')[0] == 2
        for name, (plant, paths, word) in plants.items():
            top = f'{tmp}/plant'
            build(top)
            plant(top)
            if 'time' not in name:
                set_times(top)
            code, got = listing(top, *OPTIONS)
            differ = {p for p in base.keys() | got.keys() if base.get(p) != got.get(p)}
            lines = [got[p] for p in differ if p in got]
            if code or differ != paths or not all(word in line for line in lines):
                print(f'{name}: differs at {sorted(differ)}, expected {sorted(paths)}: {lines}')
                failed += 1
            shutil.rmtree(top)
    finally:
        shutil.rmtree(tmp)
    print(f'{len(plants)} planted differences, {failed} missed')
    return failed != 0


sys.exit(main())
