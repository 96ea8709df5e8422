#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The same operations by the kernel and by us, on two copies of an image: the same errnos, and the same items.

The items of the subvolume are compared as btrfs-progs print them, but for times, generations, sequences, where blocks
are, and what numbers directory entries have (the kernel's never go back while it is mounted).

usage: file_ops.py [CONFIG...]
       file_ops.py --plant          items must differ: for a planted fault that no checker sees
"""
import collections
import contextlib
import ctypes
import errno
import os
import random
import re
import subprocess
import sys
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import btrfs_image as bi  # noqa: E402

ENG_DO = os.path.join(bi.build_dir(), 'tests', 'interop', 'eng-do')
CONFIGS = {
    'small': ['-n', '4096', '-m', 'dup'],
    'holes': ['-n', '4096', '-m', 'single', '-O', '^no-holes'],
    'large': ['-n', '16384', '-m', 'dup'],
}
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
FILE, DIR, LINK, FIFO, CHR = 0o100644, 0o040755, 0o120777, 0o010600, 0o020600
# Names of one hash.
TWINS = ('user.88bzilh', 'user.2ofmlwb')
KIB = 1024
libc = ctypes.CDLL(None, use_errno=True)

CRC = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ 0x82F63B78 * (n & 1)
    CRC.append(n)


def name_hash(name):
    crc = 0xFFFFFFFE
    for byte in name:
        crc = crc >> 8 ^ CRC[(crc ^ byte) & 0xFF]
    return crc


def forge(length, count, want=0x12345678):
    """Names of one hash: the last four bytes follow from the hash, backwards."""
    back = {c >> 24: i for i, c in enumerate(CRC)}
    found, number = [], 0
    while len(found) < count:
        head = f'forged{number}-'.encode().ljust(length - 4, b'f')
        number += 1
        # Which entries of the table the last four steps took, from the last to the first.
        value, steps = want, []
        for _ in range(4):
            i = back[value >> 24]
            steps.append(i)
            value = (value ^ CRC[i]) << 8 & 0xFFFFFFFF
        state, tail = name_hash(head), bytearray()
        for i in reversed(steps):
            tail.append((state ^ i) & 0xFF)
            state = state >> 8 ^ CRC[i]
        name = head + bytes(tail)
        if name_hash(name) == want and not set(tail) & {0, ord('/')}:
            found.append(name)
    return found


# ---- the kernel's side ----

def renameat2(old, new, flags):
    if libc.renameat2(-100, old, -100, new, flags):
        raise OSError(ctypes.get_errno(), 'renameat2')


def create(path, mode, what=b''):
    if mode & 0o170000 == LINK & 0o170000:
        os.symlink(what, path)
    elif mode & 0o170000 == DIR & 0o170000:
        os.mkdir(path, mode & 0o7777)
    elif mode & 0o170000 == FILE & 0o170000:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode & 0o7777))
    else:
        os.mknod(path, mode, int(what or 0))


def write(path, off, data):
    fd = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(fd, data, off)
        os.fsync(fd)
    finally:
        os.close(fd)


KERNEL = {
    'create': create,
    'link': lambda a, b: os.link(a, b, follow_symlinks=False),
    'unlink': os.unlink,
    'rmdir': os.rmdir,
    'rename': renameat2,
    'chmod': os.chmod,
    'truncate': os.truncate,
    'write': write,
    'setxattr': lambda p, n, v, f: os.setxattr(p, n, v, f, follow_symlinks=False),
    'removexattr': lambda p, n: os.removexattr(p, n, follow_symlinks=False),
    'sync': os.sync,
}
PATHS = collections.defaultdict(lambda: 1, link=2, rename=2, sync=0)


def by_kernel(image, where, script):
    said = []
    os.umask(0)
    with bi.kernel_mounted([image], where, 'noatime'):
        for op, *args in script:
            n = PATHS[op]
            try:
                KERNEL[op](*[os.fsencode(where) + b'/' + p for p in args[:n]], *args[n:])
                said.append('0')
            except OSError as e:
                said.append(errno.errorcode[e.errno])
    return said


def by_us(image, script):
    def text(arg):
        return urllib.parse.quote(arg, safe='/') if isinstance(arg, bytes) else str(arg)

    lines = ''.join('\t'.join([op, *map(text, args)]) + '\n' for op, *args in script)
    done = subprocess.run([*bi.wrap(), ENG_DO, image], input=lines.encode(), stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise bi.Failed(f'eng-do: exit code {done.returncode}')
    return done.stdout.decode().splitlines()


# ---- items ----

DROP = re.compile(r'\b(?:sequence|generation|transid|block group|itemoff|flags 0x0\(none\)) ?\S*|\(\d{4}-.*\)|'
                  r'[acmo]time \S+')
ITEM = re.compile(rb'\titem \d+ key \((.*?)\) itemoff \d+ itemsize (\d+)')


def items(image):
    """[(key, size, lines)] of the top-level subvolume, entries' numbers replaced by their ranks."""
    out, found = bi.run('btrfs', 'inspect-internal', 'dump-tree', '-t', '5', image, quiet=True), []
    for line in out.split(b'\n'):
        m = ITEM.match(line)
        if m:
            found.append([m[1].decode(), int(m[2]), []])
        elif line.startswith(b'\t\t') and found:
            found[-1][2].append(DROP.sub('', line.decode('utf-8', 'surrogateescape')).strip())
    indexes = collections.defaultdict(list)
    for key, _, _ in found:
        objectid, kind, offset = key.split()
        if kind == 'DIR_INDEX':
            indexes[objectid].append(int(offset))
    return [renumber(item, indexes) for item in found]


def renumber(item, indexes):
    key, size, lines = item
    objectid, kind, offset = key.split()
    if kind == 'DIR_INDEX':
        key = f'{objectid} {kind} #{indexes[objectid].index(int(offset))}'
    if kind in ('INODE_REF', 'INODE_EXTREF') and not (objectid == offset == '256'):
        parent = offset

        def rank(m):
            return f'index #{indexes[parent].index(int(m[1]))}'
        for i, line in enumerate(lines):
            other = re.search(r'parent (\d+)', line)
            parent = other[1] if other else offset
            lines[i] = re.sub(r'index (\d+)', rank, line)
    return key, size, tuple(lines)


def same_items(kernels, ours):
    a, b = items(kernels), items(ours)
    for x, y in zip(a, b):
        if x != y:
            raise bi.Failed(f'the kernel has\n{x}\nwe have\n{y}')
    if len(a) != len(b):
        raise bi.Failed(f'the kernel has {len(a)} items, we have {len(b)}')
    return len(a)


# ---- what is done ----

def fill(where):
    """What only the kernel can make: data."""
    rand = random.Random(1)
    for i in range(8):
        with open(f'{where}/data{i}', 'wb') as f:
            for part in range(12):
                f.seek(part * 20 * KIB + part % 3 * 4 * KIB)
                f.write(rand.randbytes(12 * KIB))
                f.flush()
                os.fsync(f.fileno())
        if i % 2:
            fd = os.open(f'{where}/data{i}', os.O_WRONLY)
            os.posix_fallocate(fd, 400 * KIB, 64 * KIB)
            os.close(fd)
    for i in range(3):
        with open(f'{where}/text{i}', 'wb') as f:
            f.write(b'compressible ' * 40000)
        os.setxattr(f'{where}/text{i}', 'btrfs.compression', b'zstd')
        bi.run('btrfs', 'filesystem', 'defragment', '-czstd', f'{where}/text{i}')
    bi.run('cp', '--reflink=always', f'{where}/data0', f'{where}/clone0')
    bi.run('cp', '--reflink=always', f'{where}/text0', f'{where}/clone1')
    os.sync()
    bi.run('btrfs', 'subvolume', 'snapshot', where, f'{where}/snap')


def script_names():
    yield 'create', b'd', DIR
    yield 'create', b'd/sub', DIR
    yield 'create', b'd', DIR
    for i in range(40):
        yield 'create', b'd/file%d' % i, FILE
    yield 'create', b'link', LINK, b'target'
    yield 'create', b'd/long', LINK, b't' * 2000
    yield 'create', b'fifo', FIFO
    yield 'create', b'chr', CHR, b'%d' % os.makedev(5, 300)
    yield 'create', b'd/' + b'n' * 255, FILE
    for twin in TWINS:
        yield 'create', b'd/' + twin.encode(), FILE
    yield 'unlink', b'd/' + TWINS[0].encode()
    yield 'link', b'd/file0', b'hard'
    yield 'link', b'd/file0', b'd/hard'
    yield 'link', b'd/file0', b'hard'
    for i in range(30):
        yield 'link', b'd/file1', b'd/' + (b'%d-' % i).ljust(250, b'y')
    for i in range(0, 30, 3):
        yield 'unlink', b'd/' + (b'%d-' % i).ljust(250, b'y')
    yield 'unlink', b'd/file2'
    yield 'unlink', b'd/file2'
    yield 'unlink', b'd/sub'
    yield 'rmdir', b'd/file3'
    yield 'rmdir', b'd'
    yield 'rmdir', b'd/sub'
    yield 'chmod', b'd/file3', 0o4711


def script_renames():
    yield 'create', b'e', DIR
    yield 'create', b'e/in', DIR
    yield 'rename', b'd/file4', b'e/file4', 0
    yield 'rename', b'd/file5', b'd/file6', 0
    yield 'rename', b'd/file7', b'd/file8', NOREPLACE
    yield 'rename', b'd/file7', b'e/new7', NOREPLACE
    yield 'rename', b'd/file9', b'e/file4', EXCHANGE
    yield 'rename', b'd/file9', b'nowhere', EXCHANGE
    yield 'rename', b'e/in', b'd/file10', EXCHANGE
    yield 'rename', b'd/file11', b'e/file11', WHITEOUT
    yield 'rename', b'd/file12', b'd/file13', WHITEOUT
    yield 'rename', b'hard', b'd/file0', 0
    yield 'rename', b'hard', b'd/file14', 0
    yield 'create', b'empty', DIR
    yield 'rename', b'empty', b'e', 0
    yield 'rename', b'e', b'empty', 0
    yield 'rename', b'd/file15', b'empty', 0
    yield 'rename', b'empty', b'd/file15', 0
    yield 'rename', b'empty', b'd/deep', 0
    for i in range(1, 30, 3):
        yield 'rename', b'd/' + (b'%d-' % i).ljust(250, b'y'), b'd/deep/' + (b'%d-' % i).ljust(250, b'z'), 0


def script_xattrs():
    for i in range(3):
        for j in range(10):
            yield 'setxattr', b'd/file%d' % (20 + i), b'user.n%d' % j, b'v' * (j * 13 + i), 0
    for twin in TWINS:
        yield 'setxattr', b'd', twin.encode(), twin.encode(), 0
    yield 'setxattr', b'd', TWINS[0].encode(), b'other', 2
    yield 'setxattr', b'd', TWINS[0].encode(), b'', 0
    yield 'setxattr', b'd', TWINS[1].encode(), b'x', 1
    yield 'setxattr', b'd', b'user.none', b'x', 2
    yield 'removexattr', b'd/file20', b'user.n3'
    yield 'removexattr', b'd/file20', b'user.n3'
    yield 'removexattr', b'd', TWINS[1].encode()
    yield 'setxattr', b'd/file21', b'user.big', b'b' * 3000, 0
    yield 'setxattr', b'd/file21', b'user.too big', b'b' * 20000, 0
    yield 'setxattr', b'd/deep', b'btrfs.compression', b'zstd:5', 0
    yield 'create', b'd/deep/inherits', FILE
    yield 'create', b'd/deep/inherits too', DIR
    yield 'create', b'd/deep/inherits not', FIFO
    yield 'setxattr', b'd/file22', b'btrfs.compression', b'none', 0
    yield 'setxattr', b'd/file22', b'btrfs.compression', b'gzip', 0
    yield 'setxattr', b'd/deep/inherits too', b'btrfs.compression', b'', 0


def script_data():
    # Shrinking within extents, holes and preallocated space, and everything; growing at borders.
    for i, size in enumerate((200 * KIB + 5, 132 * KIB, 44 * KIB, 4 * KIB - 1, 0, 231 * KIB, 1, 60 * KIB)):
        yield 'truncate', b'data%d' % i, size
    yield 'truncate', b'data1', 300 * KIB + 1
    yield 'truncate', b'data4', 10000
    yield 'truncate', b'clone0', 50 * KIB
    yield 'unlink', b'data0'
    yield 'truncate', b'text0', 200 * KIB + 700
    yield 'truncate', b'text1', 128 * KIB
    yield 'unlink', b'text2'
    yield 'unlink', b'clone1'
    yield 'write', b'd/file30', 0, b'hello world'
    yield 'write', b'd/file31', 0, b'x' * 2000
    yield 'truncate', b'd/file31', 1000
    yield 'truncate', b'd/file30', 0
    yield 'truncate', b'd', 0
    yield 'truncate', b'd/file32', 1 << 40
    yield 'truncate', b'd/file32', 5000


def script_full(names):
    """Last: the kernel uses up an inode number for what it refuses."""
    yield 'create', b'h', DIR
    for name in names:
        yield 'create', b'h/' + name, FILE


def compare(top, config):
    kernels, ours, where = f'{top}/kernel.img', f'{top}/ours.img', f'{top}/mnt'
    with open(kernels, 'wb') as f:
        f.truncate(256 * bi.MIB)
    bi.run('mkfs.btrfs', '-q', *CONFIGS[config], kernels, quiet=True)
    with bi.kernel_mounted([kernels], where):
        fill(where)
    script = [*script_names(), *script_renames(), *script_xattrs(), *script_data(),
              *script_full(forge(240, 20))]
    bi.run('cp', '--sparse=always', kernels, ours)
    theirs = by_kernel(kernels, where, script)
    said = by_us(ours, script)
    for op, x, y in zip(script, theirs, said):
        if x != y:
            raise bi.Failed(f'{op}: the kernel says {x}, we say {y}')
    if len(said) != len(script):
        raise bi.Failed(f'{len(script)} operations, {len(said)} answers')
    bi.run('btrfs', 'check', '--check-data-csum', ours, quiet=True)
    n = same_items(kernels, ours)
    with bi.kernel_mounted([ours], where):
        bi.run('rm', '-r', f'{where}/d', f'{where}/h')
    bi.run('btrfs', 'check', ours, quiet=True)
    print(f'{config}: {len(script)} operations, {sum(s != "0" for s in said)} refused, {n} items the same')


def planted(top):
    try:
        compare(top, 'small')
    except bi.Failed as e:
        if not str(e).startswith('the kernel has'):
            raise
        print(f'caught: {e}')
        return 0
    raise bi.Failed('the planted fault was not seen')


def main():
    bi.need(*bi.MACHINE)
    bi.own_namespace()
    with bi.scratch() as top:
        if sys.argv[1:] == ['--plant']:
            return planted(top)
        for config in sys.argv[1:] or CONFIGS:
            compare(top, config)
            for name in os.listdir(top):
                with contextlib.suppress(IsADirectoryError):
                    os.unlink(f'{top}/{name}')
    return 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except bi.Failed as e:
        print(f'FAILED: {e}')
        sys.exit(1)
