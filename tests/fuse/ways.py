#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""All the ways to mount one aged image, each compared with the kernel's walk of it.

As root, through mount(8), as nobody, by subvolume, at an offset, under another owner; and what a
person sees when it cannot be mounted. With UBTRFS_WRAP=ubtrfs-no-uring all of it without io_uring.
"""
import contextlib
import os
import shutil
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import btrfs_image as bi  # noqa: E402

NOBODY = 65534
FULL = ('--hash', '--flags')


class Image:
    """An aged image with two subvolumes of known names and what the kernel sees in it."""

    def __init__(self, top):
        self.top, self.mnt = top, f'{top}/mnt'
        self.image, = bi.make_files(top, 1, 768 * bi.MIB)
        bi.run('mkfs.btrfs', '-q', '-L', 'a label', self.image)
        with bi.kernel_mounted([self.image], self.mnt) as mnt:
            bi.run('btrfs', 'subvolume', 'create', f'{mnt}/vol')
            bi.run('btrfs', 'subvolume', 'create', f'{mnt}/vol/inner')
            bi.save(f'{mnt}/vol/inner/file', b'inner')
            bi.run(bi.program('ubtrfs-age'), mnt, '--ops', 700, '--seed', 77)
            self.volid = bi.run('btrfs', 'inspect-internal', 'rootid', f'{mnt}/vol').decode().strip()
        self.kernel = {}
        for name, options in (('full', FULL), ('plain', ['--hash', '--skip', 'owner,mode,xattr'])):
            with bi.kernel_mounted([self.image], self.mnt, 'ro') as mnt:
                self.kernel[name] = bi.walk(mnt, f'{top}/kernel.{name}', *options)
        with bi.kernel_mounted([self.image], self.mnt, 'ro,subvol=/vol') as mnt:
            self.kernel['vol'] = bi.walk(mnt, f'{top}/kernel.vol', *FULL)

    def equals(self, what, where=None, options=FULL):
        got = bi.walk(where or self.mnt, f'{self.top}/ours.walk', *options)
        bi.same_text(self.kernel[what], got, f'walk ({what})')


def as_root(img):
    with bi.our_mount([img.image], img.mnt):
        forbidden = 'no-uring' in os.environ.get('UBTRFS_WRAP', '')
        if forbidden == any(bi.uses_uring(pid) for pid in bi.daemons()):
            raise bi.Failed('the daemon has an io_uring, or should have one')
        img.equals('full')
        img.equals('full')  # from the kernel's caches
        try:
            bi.save(f'{img.mnt}/new', b'')
        except OSError:
            pass
        else:
            raise bi.Failed('a read-only mount let a file be made')
    if bi.daemons():
        raise bi.Failed('ubtrfsctl umount did not wait for the daemon')


def through_mount(img):
    """mount -t fuse.ubtrfs, as from fstab; the helper looks for ubtrfs where programs are installed."""
    installed = f'{img.top}/installed'
    os.mkdir(installed)
    shutil.copy2(bi.program('ubtrfs'), installed)
    bi.run('mount', '--bind', installed, '/usr/local/sbin')
    try:
        bi.run(*bi.wrap(), 'mount', '-t', 'fuse.ubtrfs', '-o', 'ro', img.image, img.mnt)
        img.equals('full')
        bi.run(bi.program('ubtrfsctl'), 'umount', img.mnt)
    finally:
        bi.run('umount', '/usr/local/sbin')


def subvolumes(img):
    for options in ('ro,subvol=/vol', 'ro,subvol=vol', f'ro,subvolid={img.volid}'):
        with bi.our_mount([img.image], img.mnt, options):
            img.equals('vol')
    with bi.our_mount([img.image], img.mnt, 'ro,subvol=vol/inner'):
        with open(f'{img.mnt}/file', 'rb') as f:
            if f.read() != b'inner':
                raise bi.Failed('subvol=vol/inner shows something else')


def at_offset(img):
    shifted = f'{img.top}/shifted.img'
    bi.run('dd', f'if={img.image}', f'of={shifted}', 'bs=1M', 'seek=3', 'conv=sparse', quiet=True)
    with bi.our_mount([shifted], img.mnt, f'ro,offset={3 * bi.MIB}'):
        img.equals('full')
    os.unlink(shifted)


def other_owner(img):
    with bi.our_mount([img.image], img.mnt, 'ro,uid=1234,gid=4321,umask=0027'):
        for folder, dirs, files in os.walk(img.mnt):
            for name in dirs + files:
                st = os.lstat(f'{folder}/{name}')
                if (st.st_uid, st.st_gid) != (1234, 4321) or (
                        st.st_mode & 0o027 and not stat.S_ISLNK(st.st_mode)):
                    raise bi.Failed(f'{name}: {st.st_uid}:{st.st_gid} mode {st.st_mode:o}')


@contextlib.contextmanager
def open_dev_fuse(top):
    """As udev makes it: for everybody. In this mount namespace only."""
    node = f'{top}/fuse'
    os.mknod(node, 0o20666, os.stat('/dev/fuse').st_rdev)
    os.chmod(node, 0o666)
    bi.run('mount', '--bind', node, '/dev/fuse')
    try:
        yield
    finally:
        bi.run('umount', '/dev/fuse')


def unprivileged(img):
    """Nobody mounts nobody's image on nobody's directory, reads all of it, and unmounts."""
    home = f'{img.top}/home'
    os.mkdir(home)
    for name in ('ubtrfs', 'ubtrfsctl', 'ubtrfs-walk'):
        shutil.copy2(bi.program(name), home)
    copy, mnt = f'{home}/image', f'{home}/mnt'
    bi.run('cp', '--sparse=always', img.image, copy)
    os.mkdir(mnt)
    for path in (home, copy, mnt):
        os.chown(path, NOBODY, NOBODY)
    user = [*bi.wrap(), 'setpriv', f'--reuid={NOBODY}', f'--regid={NOBODY}', '--clear-groups']
    with open_dev_fuse(img.top):
        bi.run(*user, f'{home}/ubtrfs', '-o', 'ro', copy, mnt)
        # Without allow_other not even root sees it, and default_permissions keeps root's files shut.
        if subprocess.run(['ls', mnt], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            raise bi.Failed("root looks into a user's mount without allow_other")
        bi.run(*user, f'{home}/ubtrfsctl', 'umount', mnt)
        bi.run(*user, f'{home}/ubtrfs', '-o', f'ro,uid={NOBODY},gid={NOBODY},umask=077', copy, mnt)
        listing = bi.run(*user, f'{home}/ubtrfs-walk', '--hash', '--skip', 'owner,mode,xattr', mnt)
        bi.same_text(img.kernel['plain'], bi.save(f'{img.top}/ours.walk', listing), 'walk (nobody)')
        bi.run(*user, f'{home}/ubtrfsctl', 'umount', mnt)
    if bi.daemons():
        raise bi.Failed('a daemon of nobody is left')
    shutil.rmtree(home)


def failing(what, words, *cmd):
    """The command must fail with one line on stderr that says the given words."""
    done = subprocess.run([str(c) for c in (*bi.wrap(), *cmd)], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    err = done.stderr.decode('utf-8', 'replace')
    lines = err.strip().splitlines()
    if done.returncode == 0 or len(lines) != 1 or not all(w in err for w in words):
        raise bi.Failed(f'{what}: exit code {done.returncode}, stderr: {err!r}; wanted one line '
                        f'with {words}')


def refusals(img):
    ubtrfs = bi.program('ubtrfs')
    os.mkdir(f'{img.top}/zeros')
    zeros, = bi.make_files(f'{img.top}/zeros', 1, 256 * bi.MIB)
    failing('not btrfs', [zeros], ubtrfs, '-o', 'ro', zeros, img.mnt)
    failing('no such image', ['none.img'], ubtrfs, '-o', 'ro', f'{img.top}/none.img', img.mnt)
    failing('no such directory', ['nowhere'], ubtrfs, '-o', 'ro', img.image, f'{img.top}/nowhere')
    failing('no such subvolume', ['nosuch'], ubtrfs, '-o', 'ro,subvol=nosuch', img.image, img.mnt)
    failing('unknown option', ['nosuchoption'], ubtrfs, '-o', 'ro,nosuchoption', img.image, img.mnt)
    truncated = bi.save(f'{img.top}/truncated.img', open(img.image, 'rb').read(1 << 20))
    failing('truncated', [truncated], ubtrfs, '-o', 'ro', truncated, img.mnt)
    with bi.kernel_mounted([img.image], f'{img.top}/kernel'):
        failing('in use by the kernel', [img.image], ubtrfs, '-o', 'ro', img.image, img.mnt)
    failing('umount of what is no mount', [], bi.program('ubtrfsctl'), 'umount', img.top)
    if bi.daemons() or os.path.ismount(img.mnt):
        raise bi.Failed('something is left of a mount that failed')
    for flag in ('--help', '--version'):
        out = bi.run(ubtrfs, flag).decode()
        if 'ubtrfs' not in out:
            raise bi.Failed(f'{flag} prints {out!r}')


CASES = (as_root, through_mount, subvolumes, at_offset, other_owner, unprivileged, refusals)


def test():
    chosen = [c for c in CASES if len(sys.argv) < 2 or c.__name__ in sys.argv[1:]]
    failed = []
    with bi.scratch() as top:
        img = Image(top)
        for case in chosen:
            try:
                case(img)
                print(f'ok: {case.__name__}', flush=True)
            except bi.Failed as e:
                print(f'FAILED: {case.__name__}: {e}', flush=True)
                failed.append(case.__name__)
                if os.path.ismount(img.mnt):
                    subprocess.run(['umount', '-l', img.mnt], check=False)
    if failed:
        raise bi.Failed(', '.join(failed))


if __name__ == '__main__':
    bi.need('root', '/dev/fuse', 'loop devices', 'btrfs in the kernel')
    bi.need_programs('ubtrfs', 'ubtrfsctl')
    bi.own_namespace()
    bi.main(test)
