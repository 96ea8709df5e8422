#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a mounted filesystem looks like where FUSE makes it differ from the kernel's btrfs, or could.

Inode numbers over subvolumes, directory positions, permissions and ACLs for somebody else, xattrs, holes,
ioctls (byte for byte as the kernel answers them), file handles, and that nothing can be written.
"""
import array
import ctypes
import errno
import fcntl
import os
import stat
import struct
import subprocess
import sys
import tarfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import btrfs_image as bi  # noqa: E402

NOBODY = 65534
FILES = 3000
LIBC = ctypes.CDLL(None, use_errno=True)


def check(good, text):
    if not good:
        raise bi.Failed(text)


def same(got, wanted, what):
    check(got == wanted, f'{what}: {got!r}, wanted {wanted!r}')


def build(top):
    """A tree with two subvolumes, made an image by mkfs."""
    src = f'{top}/src'
    for name in ('a', 'b', 'a/d', 'many'):
        os.makedirs(f'{src}/{name}')
    for sub in ('a', 'b'):
        for i in range(20):
            bi.save(f'{src}/{sub}/f{i}', b'%d' % i)
        os.link(f'{src}/{sub}/f0', f'{src}/{sub}/linked')
    for i in range(FILES):
        bi.save(f'{src}/many/{i:05}-{"x" * (i % 50)}', b'')
    bi.save(f'{src}/closed', b'closed')
    os.chmod(f'{src}/closed', 0o640)
    bi.save(f'{src}/acl', b'acl')
    os.chmod(f'{src}/acl', 0o640)
    bi.run('setfacl', '-m', f'u:{NOBODY}:r', f'{src}/acl')
    os.setxattr(f'{src}/acl', 'user.seen', b'1')
    os.setxattr(f'{src}/acl', 'trusted.hidden', b'2')
    os.symlink('acl', f'{src}/link')
    image, = bi.make_files(top, 1, 256 * bi.MIB)
    bi.run('mkfs.btrfs', '-q', '-L', 'ein label', '--rootdir', src, '--subvol', 'a', '--subvol', 'b', image,
           quiet=True)
    return image


def as_nobody(*cmd):
    """Exit code and stdout of a command that nobody runs."""
    done = subprocess.run(['setpriv', f'--reuid={NOBODY}', f'--regid={NOBODY}', '--clear-groups', *cmd],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    return done.returncode, done.stdout


def numbers(mnt):
    """{path: inode number}, from stat and from the directory, which must agree."""
    found = {'.': os.stat(mnt).st_ino}
    for folder, _, _ in os.walk(mnt):
        for entry in os.scandir(folder):
            found[os.path.relpath(entry.path, mnt)] = entry.stat(follow_symlinks=False).st_ino
            same(entry.inode(), entry.stat(follow_symlinks=False).st_ino, f'd_ino of {entry.path}')
    return found


def inodes(image, mnt, top):
    with bi.our_mount([image], mnt):
        first = numbers(mnt)
        by_number = {}
        for path, number in first.items():
            by_number.setdefault(number, []).append(path)
        doubles = sorted(sorted(paths) for paths in by_number.values() if len(paths) > 1)
        same(doubles, [['a/f0', 'a/linked'], ['b/f0', 'b/linked']], 'paths of one number')
        inum = bi.run('find', mnt, '-inum', first['b/f7']).decode().split()
        same(inum, [f'{mnt}/b/f7'], 'find -inum')
        with tarfile.open(f'{top}/a.tar', 'w') as tar:
            tar.add(f'{mnt}/a', 'a')
            tar.add(f'{mnt}/b', 'b')
        with tarfile.open(f'{top}/a.tar') as tar:
            links = [m.name for m in tar.getmembers() if m.islnk()]
        same(len(links), 2, 'hard links in a tar of two subvolumes')
    with bi.our_mount([image], mnt):
        same(numbers(mnt), first, 'numbers at the next mount')
    with bi.our_mount([image], mnt, 'ro,subvol=b') as top_of_b:
        want = {os.path.relpath(p, 'b'): n for p, n in first.items() if p == 'b' or p.startswith('b/')}
        same(numbers(top_of_b), want, 'numbers by subvol=')


def stubs(image, mnt, top):
    """A subvolume that was moved into a snapshot of its parent, and that snapshotted: one place, three stubs."""
    copy = f'{top}/stubs.img'
    bi.run('cp', '--sparse=always', image, copy)
    with bi.kernel_mounted([copy], f'{top}/kernel') as k:
        for sub in ('p', 'p/c'):
            bi.run('btrfs', 'subvolume', 'create', f'{k}/{sub}')
        bi.save(f'{k}/p/c/inside', b'')
        bi.run('btrfs', 'subvolume', 'snapshot', f'{k}/p', f'{k}/snap')
        os.rename(f'{k}/p/c', f'{k}/snap/moved')
        bi.run('btrfs', 'subvolume', 'snapshot', f'{k}/snap', f'{k}/snap2')
        wanted = sorted(os.path.relpath(p, k) for sub in ('p', 'snap', 'snap2') for p, _, _ in os.walk(f'{k}/{sub}'))
        files = bi.run('find', k, '-name', 'inside', '-printf', '%P\n')
    with bi.our_mount([copy], mnt):
        got = numbers(mnt)
        same(sorted(p for p in got if p.split('/')[0] in ('p', 'snap', 'snap2') and
                    os.path.isdir(f'{mnt}/{p}')), wanted, 'directories')
        same(bi.run('find', mnt, '-name', 'inside', '-printf', '%P\n'), files, 'where the subvolume is entered')
        places = [p for p in wanted if '/' in p]
        same(len(places), 4, 'places')
        same(len({got[p] for p in places}), 4, 'their numbers')
    os.unlink(copy)


class Dirent(ctypes.Structure):
    _fields_ = [('ino', ctypes.c_uint64), ('off', ctypes.c_int64), ('reclen', ctypes.c_ushort),
                ('type', ctypes.c_ubyte), ('name', ctypes.c_char * 256)]


def positions(image, mnt, top):
    """telldir and seekdir come back to the same entry, in any order."""
    LIBC.opendir.restype = ctypes.c_void_p
    LIBC.readdir.restype = ctypes.POINTER(Dirent)
    LIBC.readdir.argtypes = LIBC.telldir.argtypes = [ctypes.c_void_p]
    LIBC.telldir.restype = ctypes.c_long
    LIBC.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
    LIBC.closedir.argtypes = [ctypes.c_void_p]
    with bi.our_mount([image], mnt):
        folder = LIBC.opendir(f'{mnt}/many'.encode())
        seen = []
        while True:
            at = LIBC.telldir(folder)
            entry = LIBC.readdir(folder)
            if not entry:
                break
            seen.append((at, entry.contents.name))
        same(len(seen), FILES + 2, 'entries')
        same(len({name for _, name in seen}), FILES + 2, 'different entries')
        same(seen[0][1] + seen[1][1], b'...', 'the first two entries')
        for i in [*range(0, FILES, 371), FILES + 1, 5, 0]:
            LIBC.seekdir(folder, seen[i][0])
            same(LIBC.readdir(folder).contents.name, seen[i][1], f'entry {i} by seekdir')
        LIBC.closedir(folder)


def permissions(image, mnt, top):
    with bi.our_mount([image], mnt):
        same(as_nobody('cat', f'{mnt}/acl'), (0, b'acl'), 'a file that an ACL opens to nobody')
        check(as_nobody('cat', f'{mnt}/closed')[0], 'nobody reads a closed file')
        same(sorted(os.listxattr(f'{mnt}/acl')), ['system.posix_acl_access', 'trusted.hidden', 'user.seen'],
             'xattrs for root')
        same(os.getxattr(f'{mnt}/acl', 'trusted.hidden'), b'2', 'trusted xattr for root')
        code, out = as_nobody('getfattr', '-m', '-', '--absolute-names', f'{mnt}/acl')
        check(not code and b'user.seen' in out and b'trusted' not in out, f'xattrs for nobody: {out}')
        check(b'nobody:r--' in bi.run('getfacl', '-p', f'{mnt}/acl'), 'getfacl does not show the ACL')
        try:
            os.getxattr(f'{mnt}/acl', 'user.none')
            raise bi.Failed('an xattr that is none has a value')
        except OSError as e:
            same(e.errno, errno.ENODATA, 'errno of an xattr that is none')
    with bi.our_mount([image], mnt, 'ro,noacl'):
        check(as_nobody('cat', f'{mnt}/acl')[0], 'noacl honours an ACL')
    with bi.our_mount([image], mnt, f'ro,uid={NOBODY}'):
        same(as_nobody('cat', f'{mnt}/closed'), (0, b'closed'), "uid=: the owner's file")
        same(sorted(os.listxattr(f'{mnt}/acl')), ['trusted.hidden', 'user.seen'], 'xattrs under uid=')
    with bi.our_mount([image], mnt, 'ro,umask=022'):
        same(stat.S_IMODE(os.stat(f'{mnt}/closed').st_mode), 0o644, 'mode under umask=')
        same(stat.S_IMODE(os.stat(f'{mnt}/a').st_mode), 0o755, 'mode of a directory under umask=')
        same(as_nobody('cat', f'{mnt}/closed'), (0, b'closed'), 'umask=')
    with bi.our_mount([image], mnt, 'ro,noallow_other'):
        check(as_nobody('ls', mnt)[0], "nobody sees root's private mount")


def data_ranges(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        found, at, size = [], 0, os.fstat(fd).st_size
        while at < size:
            start = os.lseek(fd, at, os.SEEK_DATA)
            at = os.lseek(fd, start, os.SEEK_HOLE)
            found.append((start, at))
    except OSError as e:
        same(e.errno, errno.ENXIO, 'errno behind the last data')
    finally:
        os.close(fd)
    return found


def holes(image, mnt, top):
    with bi.kernel_mounted([image], mnt):
        with open(f'{mnt}/sparse', 'wb') as f:
            f.write(b'1' * 4096)
            f.seek(1 << 20)
            f.write(b'2' * 8192)
            f.truncate(3 << 20)
    with bi.our_mount([image], mnt):
        same(data_ranges(f'{mnt}/sparse'), [(0, 4096), (1 << 20, (1 << 20) + 8192)], 'data')
        same(data_ranges(f'{mnt}/many/00000-'), [], 'data of an empty file')


def ioc(direction, kind, nr, size):
    return direction << 30 | size << 16 | kind << 8 | nr


READ, WRITE, BOTH = 2, 1, 3
BTRFS = 0x94


def ask(path, request, data):
    """The answer's bytes, or the errno."""
    buf = array.array('B', data)
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, request, buf, True)
    except OSError as e:
        return e.errno
    finally:
        os.close(fd)
    return bytes(buf)


def search(tree, first, last, items, types=(0, 255)):
    key = struct.pack('<7QIIII4Q', tree, first, last, 0, 2**64 - 1, 0, 2**64 - 1, *types, items, 0, 0, 0, 0, 0)
    return key.ljust(4096, b'\xee')


def questions(mnt):
    """Name, path, ioctl, argument; and the bytes of the answer in which the two may differ."""
    fs_info, dev_info = ioc(READ, BTRFS, 31, 1024), ioc(BOTH, BTRFS, 30, 4096)
    lookup, tree_search = ioc(BOTH, BTRFS, 18, 4096), ioc(BOTH, BTRFS, 17, 4096)
    getflags, getversion = ioc(READ, ord('f'), 1, 8), ioc(READ, ord('v'), 1, 8)
    fsx, label = ioc(READ, ord('X'), 31, 28), ioc(READ, BTRFS, 49, 256)
    none, path = (), range(4096 - 1024, 4096)
    yield 'GETFLAGS', 'flagged', getflags, bytes(8), none
    yield 'GETFLAGS of a directory', 'a', getflags, bytes(8), none
    yield 'FSGETXATTR', 'flagged', fsx, bytes(28), none
    yield 'GETVERSION', 'a/f1', getversion, bytes(8), none
    yield 'GETFSLABEL', 'a', label, bytes(256), none
    yield 'FS_INFO', 'a', fs_info, bytes(1024), none
    asked = bytes(56) + struct.pack('<Q', 7)
    yield 'FS_INFO with more', 'a', fs_info, asked.ljust(1024, b'\0'), none
    yield 'DEV_INFO', '.', dev_info, struct.pack('<Q', 1).ljust(4096, b'\0'), path
    yield 'DEV_INFO of none', '.', dev_info, struct.pack('<Q', 9).ljust(4096, b'\0'), none
    for where in ('.', 'a', 'b/f1'):
        yield 'GET_SUBVOL_INFO', where, ioc(READ, BTRFS, 60, 504), bytes(504), none
        yield 'SUBVOL_GETFLAGS', where, ioc(READ, BTRFS, 25, 8), bytes(8), none
    yield 'GET_FEATURES', '.', ioc(READ, BTRFS, 57, 24), bytes(24), none
    yield 'INO_LOOKUP of the tree', 'a/d', lookup, struct.pack('<QQ', 0, 256).ljust(4096, b'\0'), none
    for tree, ino in ((0, 257), (0, 260), (5, 259), (0, 99999), (77777, 256)):
        yield f'INO_LOOKUP {tree} {ino}', 'a', lookup, struct.pack('<QQ', tree, ino).ljust(4096, b'\0'), none
    for items in (1, 3, 4096):
        yield f'TREE_SEARCH {items} items', 'a', tree_search, search(0, 256, 300, items), none
    yield 'TREE_SEARCH of root items', '.', tree_search, search(1, 5, 2**64 - 1, 4096, (132, 132)), none
    yield 'TREE_SEARCH of no tree', '.', tree_search, search(12345, 0, 2**64 - 1, 4096), none
    yield 'TREE_SEARCH for nothing', '.', tree_search, search(0, 10**12, 10**12 + 1, 10), none
    yield 'no ioctl', '.', ioc(READ, BTRFS, 99, 8), bytes(8), none


def without(data, left_out):
    if isinstance(data, int):
        return data
    return bytes(0 if i in left_out else b for i, b in enumerate(data))


def search_answer(data):
    """What counts of a TREE_SEARCH answer: the key, and the items with their headers."""
    if isinstance(data, int):
        return data
    at = 104
    for _ in range(struct.unpack_from('<I', data, 64)[0]):
        at += 32 + struct.unpack_from('<I', data, at + 28)[0]
    return data[:at]


def differences(got, wanted):
    if isinstance(got, int) or isinstance(wanted, int):
        return f'errno or answer {got!r:.80}, wanted {wanted!r:.80}'
    places = [i for i, pair in enumerate(zip(got, wanted)) if pair[0] != pair[1]]
    return f'bytes {places[:20]} of {len(got)} and {len(wanted)} differ'


def answers(mnt):
    out = {}
    for name, path, request, data, left_out in questions(mnt):
        got = without(ask(f'{mnt}/{path}', request, data), left_out)
        if name.startswith('TREE_SEARCH'):
            got = search_answer(got)
        out[name, path] = got
    return out


def ioctls(image, mnt, top):
    with bi.kernel_mounted([image], mnt):
        bi.save(f'{mnt}/flagged', b'')
        bi.run('chattr', '+iadAc', f'{mnt}/flagged')
    with bi.kernel_mounted([image], mnt, 'ro'):
        wanted = answers(mnt)
    with bi.our_mount([image], mnt):
        got = answers(mnt)
        for key, value in wanted.items():
            if got[key] != value:
                raise bi.Failed(f'{key[0]} of {key[1]}: {differences(got[key], value)}')
        # Names that permissions may hide are not for nobody; in which subvolume a file is, is.
        program = ('import fcntl,os,struct,sys\n'
                   'fd = os.open(sys.argv[1], os.O_RDONLY)\n'
                   'for nr, arg in ((17, bytes(4096)), (18, struct.pack("<QQ", 0, 257)),\n'
                   '                (18, struct.pack("<QQ", 0, 256))):\n'
                   '    try:\n'
                   '        buf = bytearray(arg.ljust(4096, b"\\0"))\n'
                   '        fcntl.ioctl(fd, 3 << 30 | 4096 << 16 | 0x94 << 8 | nr, buf, True)\n'
                   '        print("yes")\n'
                   '    except OSError as e:\n'
                   '        print(e.errno)\n')
        code, out = as_nobody(sys.executable, '-c', program, f'{mnt}/a')
        same(out.decode().split(), [str(errno.EPERM)] * 2 + ['yes'], f'ioctls of nobody ({code})')


def handles(image, mnt, top):
    """A file handle, as an NFS server has it, still opens its file when the kernel has forgotten both."""
    class Handle(ctypes.Structure):
        _fields_ = [('bytes', ctypes.c_uint), ('type', ctypes.c_int), ('data', ctypes.c_ubyte * 128)]

    with bi.our_mount([image], mnt):
        mount_fd = os.open(mnt, os.O_RDONLY)
        for path, opens in (('b/f3', True), ('a/d', True), ('many', True)):
            h, mount_id = Handle(bytes=128), ctypes.c_int()
            if LIBC.name_to_handle_at(mount_fd, path.encode(), ctypes.byref(h), ctypes.byref(mount_id), 0):
                raise bi.Failed(f'name_to_handle_at: {os.strerror(ctypes.get_errno())}')
            number = os.stat(f'{mnt}/{path}').st_ino
            bi.save('/proc/sys/vm/drop_caches', b'2')
            fd = LIBC.open_by_handle_at(mount_fd, ctypes.byref(h), os.O_RDONLY)
            check(fd >= 0, f'open_by_handle_at of {path}: {os.strerror(ctypes.get_errno())}')
            same(os.fstat(fd).st_ino, number, f'inode by the handle of {path}')
            os.close(fd)
        os.close(mount_fd)


def writes(image, mnt, top):
    """Every way to write fails, and with EROFS."""
    with bi.our_mount([image], mnt):
        tries = {
            'open': lambda: os.open(f'{mnt}/acl', os.O_WRONLY),
            'create': lambda: os.open(f'{mnt}/new', os.O_WRONLY | os.O_CREAT),
            'truncate': lambda: os.truncate(f'{mnt}/acl', 0),
            'mkdir': lambda: os.mkdir(f'{mnt}/new'),
            'unlink': lambda: os.unlink(f'{mnt}/acl'),
            'rmdir': lambda: os.rmdir(f'{mnt}/many'),
            'rename': lambda: os.rename(f'{mnt}/acl', f'{mnt}/new'),
            'link': lambda: os.link(f'{mnt}/acl', f'{mnt}/new'),
            'symlink': lambda: os.symlink('x', f'{mnt}/new'),
            'chmod': lambda: os.chmod(f'{mnt}/acl', 0o600),
            'chown': lambda: os.chown(f'{mnt}/acl', 1, 1),
            'utime': lambda: os.utime(f'{mnt}/acl'),
            'setxattr': lambda: os.setxattr(f'{mnt}/acl', 'user.x', b''),
            'removexattr': lambda: os.removexattr(f'{mnt}/acl', 'user.seen'),
            'mknod': lambda: os.mknod(f'{mnt}/new', 0o600 | stat.S_IFIFO),
        }
        for name, action in tries.items():
            try:
                action()
            except OSError as e:
                same(e.errno, errno.EROFS, f'errno of {name}')
            else:
                raise bi.Failed(f'{name} works')
        with open('/proc/self/mounts', encoding='utf-8') as f:
            line, = [entry for entry in f if entry.split()[1] == mnt]
        check(line.split()[3].startswith('ro,'), f'not a read-only mount: {line}')


CASES = (inodes, stubs, positions, permissions, holes, ioctls, handles, writes)


def test():
    failed = []
    with bi.scratch() as top:
        image = build(top)
        for case in CASES:
            if len(sys.argv) > 1 and case.__name__ not in sys.argv[1:]:
                continue
            try:
                case(image, f'{top}/mnt', top)
                print(f'ok: {case.__name__}', flush=True)
            except bi.Failed as e:
                print(f'FAILED: {case.__name__}: {e}', flush=True)
                failed.append(case.__name__)
    if failed:
        raise bi.Failed(', '.join(failed))


if __name__ == '__main__':
    bi.need('root', '/dev/fuse', 'loop devices', 'btrfs in the kernel')
    bi.need_programs('ubtrfs', 'ubtrfsctl')
    bi.own_namespace()
    bi.main(test)
