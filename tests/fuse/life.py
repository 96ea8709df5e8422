#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The life of a mount: what is said and returned when it begins, and how it ends, well or badly.

Error lines and exit codes, the supervisor and the server, signals, unmounting what is busy or dead, the
sandbox, a user's own mount, names with commas.
"""
import contextlib
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import btrfs_image as bi  # noqa: E402

NOBODY = 65534
PATIENCE = 20.0
CONTENT = b'0123456789abcdef' * 40000


def check(good, text):
    if not good:
        raise bi.Failed(text)


def same(got, wanted, what):
    check(got == wanted, f'{what}: {got!r}, wanted {wanted!r}')


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        check(time.monotonic() < end, f'waited in vain: {what}')
        time.sleep(0.02)


def call(*cmd, **kw):
    """Exit code and stderr."""
    done = subprocess.run([str(c) for c in cmd], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                          timeout=60, **kw)
    return done.returncode, done.stderr.decode('utf-8', 'replace')


def ubtrfs(*args, **kw):
    return call(bi.program('ubtrfs'), *args, **kw)


def ctl(*args, **kw):
    return call(bi.program('ubtrfsctl'), *args, **kw)


def mounted(mnt):
    """The line of the mount table, or ''."""
    with open('/proc/self/mounts', encoding='utf-8') as f:
        lines = [line for line in f if line.split()[1] == mnt]
    return lines[-1] if lines else ''


def by_name(name):
    for pid in bi.daemons():
        with open(f'/proc/{pid}/comm', encoding='ascii') as f:
            if f.read().strip() == name:
                return pid
    raise bi.Failed(f'no {name} is running')


def server():
    return by_name('ubtrfs-server')


def supervisor():
    return by_name('ubtrfs')


def none_left(mnt):
    wait_for(lambda: not bi.daemons(), 'for the daemon to end')
    check(not mounted(mnt), 'the mount is left')


def make(top, name='image', *options):
    os.makedirs(f'{top}/src', exist_ok=True)
    bi.save(f'{top}/src/file', CONTENT)
    path = f'{top}/{name}'
    with open(path, 'wb') as f:
        f.truncate(256 * bi.MIB)
    bi.run('mkfs.btrfs', '-q', *options, '--rootdir', f'{top}/src', path, quiet=True)
    return path


def read_back(mnt):
    with open(f'{mnt}/file', 'rb') as f:
        check(f.read() == CONTENT, 'the file differs')


@contextlib.contextmanager
def held_open(path):
    """Closing tells of a server that is gone: no matter here."""
    fd = os.open(path, os.O_RDONLY)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.close(fd)


def lines(top, image, mnt):
    """What a person reads: one line, and the exit code of mount(8)."""
    bi.save(f'{top}/zeros', bytes(8 * bi.MIB))
    bi.save(f'{top}/short', b'abc')
    bi.save(f'{top}/unreadable', b'')
    rows = (
        (['image'], 1, 'ubtrfs: give the device or image, and the directory to mount it on (see --help)'),
        (['-o', 'nix', 'image', 'mnt'], 1, "ubtrfs: unknown mount option 'nix'"),
        (['-z', 'image', 'mnt'], 1, 'ubtrfs: unknown option -z (see --help)'),
        (['image', 'nowhere'], 32, 'ubtrfs: nowhere: No such file or directory'),
        (['image', 'short'], 32, 'ubtrfs: short: Not a directory'),
        (['nothing', 'mnt'], 32, 'ubtrfs: nothing: No such file or directory'),
        (['zeros', 'mnt'], 32, 'ubtrfs: zeros: not btrfs: no superblock found'),
        (['short', 'mnt'], 32, 'ubtrfs: short: not btrfs: 3 bytes have no room for the superblock'),
        (['-o', 'subvol=/no/where', 'image', 'mnt'], 32,
         'ubtrfs: image: subvol=/no/where: No such file or directory'),
        (['-o', 'subvol=file', 'image', 'mnt'], 32, 'ubtrfs: image: subvol=file: not a subvolume'),
        (['-o', 'subvolid=999', 'image', 'mnt'], 32, 'ubtrfs: image: subvolume 999: No such file or directory'),
        (['-o', 'subvol=/,subvolid=256', 'image', 'mnt'], 32,
         'ubtrfs: image: subvol=/ has the id 5, not subvolid=256'),
    )
    for args, code, line in rows:
        for more in ([], ['-f']):
            same(ubtrfs(*more, *args, cwd=top), (code, line + '\n'), f'ubtrfs {" ".join(more + args)}')
    none_left(mnt)
    for args, code, line in (
            ([], 2, 'ubtrfsctl: give a command (see --help)'),
            (['fly', 'mnt'], 2, "ubtrfsctl: unknown command 'fly' (see --help)"),
            (['umount'], 2, 'ubtrfsctl: umount: give one directory (see --help)'),
            (['umount', '-x', 'mnt'], 2, "ubtrfsctl: umount: unknown option '-x' (see --help)"),
            (['umount', 'nowhere'], 1, 'ubtrfsctl: nowhere: No such file or directory'),
            (['umount', 'mnt'], 1, 'ubtrfsctl: mnt: nothing of ubtrfs is mounted here')):
        same(ctl(*args, cwd=top), (code, line + '\n'), f'ubtrfsctl {" ".join(args)}')
    for args in (['--help'], ['--version'], ['umount', '--help']):
        same(ctl(*args), (0, ''), f'ubtrfsctl {args}')
    said = f'ubtrfs: {image}: mounted read-only: this version does not write\n'
    same(ubtrfs('-o', 'rw', image, mnt), (0, said), 'mounting with rw')
    same(ctl('umount', mnt), (0, ''), 'unmounting')
    same(ubtrfs(image, mnt), (0, ''), 'mounting without')
    same(ctl('umount', mnt), (0, ''), 'unmounting')


def umount_waits(top, image, mnt):
    for _ in range(5):
        same(ubtrfs(image, mnt), (0, ''), 'mounting')
        read_back(mnt)
        same(ctl('umount', mnt), (0, ''), 'unmounting')
        same(bi.daemons(), [], 'daemons after ubtrfsctl umount')
    # Other ways to unmount end the daemon, too.
    for cmd in (['umount', mnt], ['fusermount3', '-u', mnt]):
        same(ubtrfs(image, mnt), (0, ''), 'mounting')
        same(call(*cmd), (0, ''), cmd[0])
        none_left(mnt)


@contextlib.contextmanager
def foreground(image, mnt, *options):
    """ubtrfs -f; the caller ends it. Gives the process and a function that returns exit code and stderr."""
    proc = subprocess.Popen([bi.program('ubtrfs'), '-f', *options, image, mnt], stderr=subprocess.PIPE)

    def end():
        err = proc.communicate(timeout=PATIENCE)[1].decode()
        return proc.returncode, err

    try:
        wait_for(lambda: mounted(mnt) or proc.poll() is not None, 'for the mount')
        os.stat(f'{mnt}/file')
        yield proc, end
    finally:
        proc.kill()
        proc.wait()


def server_killed(top, image, mnt):
    with foreground(image, mnt) as (_, end):
        os.kill(server(), signal.SIGKILL)
        same(end(), (4, f'ubtrfs: {image}: the server died (signal 9): unmounting\n'), 'the end')
        none_left(mnt)
    same(ubtrfs(image, mnt), (0, ''), 'mounting')
    with held_open(f'{mnt}/file'):
        os.kill(server(), signal.SIGKILL)
        none_left(mnt)


def signals(top, image, mnt):
    for sig in (signal.SIGTERM, signal.SIGINT):
        with foreground(image, mnt) as (proc, end):
            check(proc.pid == supervisor(), 'the supervisor is not the process in the foreground')
            proc.send_signal(sig)
            same(end(), (0, ''), f'the end by signal {sig}')
            none_left(mnt)
    # In use: detached, and ended all the same.
    with foreground(image, mnt) as (proc, end):
        with held_open(f'{mnt}/file'):
            proc.send_signal(signal.SIGTERM)
            same(end(), (0, f'ubtrfs: {image}: unmounted although it is in use\n'), 'the end of a busy mount')
            none_left(mnt)


def busy(top, image, mnt):
    same(ubtrfs(image, mnt), (0, ''), 'mounting')
    with open(f'{mnt}/file', 'rb') as f:
        code, err = ctl('umount', mnt)
        check(code == 1 and err.startswith(f'ubtrfsctl: {mnt}: busy') and err.count('\n') == 1,
              f'unmounting what is busy: {code} {err!r}')
        check(mounted(mnt), 'a busy mount is gone')
        same(ctl('umount', '-l', mnt), (0, ''), 'lazy unmounting')
        check(not mounted(mnt), 'still mounted')
        check(bi.daemons(), 'the daemon ended although a file is open')
        check(f.read() == CONTENT, 'the open file differs')
    none_left(mnt)


def elsewhere(top, image, mnt):
    """A bind mount keeps the filesystem; umount says so, and gives up when it is told to."""
    os.makedirs(f'{top}/bind', exist_ok=True)
    same(ubtrfs(image, mnt), (0, ''), 'mounting')
    bi.run('mount', '--bind', mnt, f'{top}/bind')
    code, err = ctl('umount', '-t', '1', mnt)
    check(code == 1 and 'not ended in time' in err, f'umount with a bind mount left: {code} {err!r}')
    read_back(f'{top}/bind')
    bi.run('umount', f'{top}/bind')
    none_left(mnt)


def dead(top, image, mnt):
    """Both processes killed: the mount stays, dead, and can be taken away."""
    same(ubtrfs(image, mnt), (0, ''), 'mounting')
    os.kill(supervisor(), signal.SIGSTOP)
    victims = bi.daemons()
    os.kill(server(), signal.SIGKILL)
    for pid in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not bi.daemons(), 'for the killed')
    check(mounted(mnt), 'no dead mount to test with')
    same(ctl('umount', mnt), (0, ''), 'unmounting what is dead')
    none_left(mnt)


def status(path):
    with open(path, encoding='ascii') as f:
        return dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)


def sandbox(top, image, mnt):
    """Every thread of the server is filtered, and works so with each checksum's library."""
    for kind in ('crc32c', 'xxhash', 'sha256', 'blake2'):
        made = make(top, f'{kind}.img', '--csum', kind)
        same(ubtrfs(made, mnt), (0, ''), f'mounting with {kind}')
        read_back(mnt)
        pid = server()
        tasks = os.listdir(f'/proc/{pid}/task')
        check(len(tasks) > 10, f'{len(tasks)} threads')
        for task in tasks:
            fields = status(f'/proc/{pid}/task/{task}/status')
            same((fields['Seccomp'], fields['NoNewPrivs']), ('2', '1'), f'filter of {fields["Name"]}')
        same(int(status(f'/proc/{pid}/status')['CapEff'], 16), 0, 'capabilities of the server')
        for fd in os.listdir(f'/proc/{pid}/fd'):
            target = os.readlink(f'/proc/{pid}/fd/{fd}')
            check(target in ('/dev/null', '/dev/fuse', made) or target.startswith(('socket:', 'anon_inode:')),
                  f'the server has {target} open')
        same(ctl('umount', mnt), (0, ''), 'unmounting')
        os.unlink(made)
    same(ubtrfs('-o', 'sandbox=no', image, mnt), (0, ''), 'mounting')
    same(status(f'/proc/{server()}/status')['Seccomp'], '0', 'filter with sandbox=no')
    same(ctl('umount', mnt), (0, ''), 'unmounting')


def names(top, image, mnt):
    """Commas, backslashes and blanks in the names of devices and directories."""
    odd = f'{top}/a,b\\c d'
    os.makedirs(f'{odd}/m,n o')
    os.rename(make(top, 'odd'), f'{odd}/i,m\\g e')
    same(ubtrfs('-o', 'ro', f'{odd}/i,m\\g e', f'{odd}/m,n o'), (0, ''), 'mounting')
    read_back(f'{odd}/m,n o')
    with open('/proc/self/mountinfo', encoding='utf-8') as f:
        check(any('i,m\\134g\\040e' in line for line in f), 'the source is not shown as it is')
    same(ctl('umount', f'{odd}/m,n o'), (0, ''), 'unmounting')
    same(call('mount', '-t', f'fuse.{bi.program("ubtrfs")}', '-o', 'ro,noatime,x-test', f'{odd}/i,m\\g e',
              f'{odd}/m,n o'), (0, ''), 'mounting by mount')
    read_back(f'{odd}/m,n o')
    same(ctl('umount', '.', cwd=f'{odd}/m,n o')[0], 1, 'unmounting where one stands')
    same(ctl('umount', f'{odd}/m,n o'), (0, ''), 'unmounting')


def user_mount(top, image, mnt):
    """Nobody's mount: root cannot look into it, but can end it."""
    home = f'{top}/home'
    os.mkdir(home)
    os.chown(home, NOBODY, NOBODY)
    node = f'{top}/fuse'
    os.mknod(node, 0o20666, os.stat('/dev/fuse').st_rdev)
    os.chmod(node, 0o666)
    for name in ('ubtrfs', 'ubtrfsctl'):
        bi.run('cp', bi.program(name), home)
    own = f'{home}/image'
    bi.run('cp', '--sparse=always', image, own)
    os.chown(own, NOBODY, NOBODY)
    user = ('setpriv', f'--reuid={NOBODY}', f'--regid={NOBODY}', '--clear-groups')
    bi.run('mount', '--bind', node, '/dev/fuse')
    try:
        where = f'{home}/mnt'
        bi.run(*user, 'mkdir', where)
        same(call(*user, f'{home}/ubtrfs', own, where), (0, ''), 'mounting as nobody')
        same(call(*user, 'cat', f'{where}/file'), (0, ''), 'reading as nobody')
        check(call('ls', where)[0], "root looks into nobody's mount")
        same(ctl('umount', where), (0, ''), 'unmounting by root')
        same(bi.daemons(), [], 'daemons')
        # A server that dies takes the mount along, by fusermount3; so does SIGTERM.
        for victim, sig in ((server, signal.SIGKILL), (supervisor, signal.SIGTERM)):
            same(call(*user, f'{home}/ubtrfs', own, where), (0, ''), 'mounting as nobody')
            os.kill(victim(), sig)
            none_left(where)
        # A directory that is not nobody's, and sharing that the administrator has not allowed.
        code, err = call(*user, f'{home}/ubtrfs', own, f'{top}/src')
        check(code == 32 and err.count('\n') == 1 and err.startswith(f'ubtrfs: {own}: cannot mount on {top}/src: '),
              f'mounting where one may not: {code} {err!r}')
        code, err = call(*user, f'{home}/ubtrfs', '-o', 'allow_other', own, where)
        check(code == 32 and err.count('\n') == 1 and 'user_allow_other' in err, f'allow_other: {code} {err!r}')
        os.chmod(node, 0o600)
        code, err = call(*user, f'{home}/ubtrfs', own, where)
        check(code == 32 and err.count('\n') == 1, f'without /dev/fuse: {code} {err!r}')
        none_left(where)
    finally:
        bi.run('umount', '-l', '/dev/fuse')


CASES = (lines, umount_waits, server_killed, signals, busy, elsewhere, dead, sandbox, names, user_mount)


def test():
    failed = []
    with bi.scratch() as top:
        mnt = f'{top}/mnt'
        os.mkdir(mnt)
        image = make(top)
        for case in CASES:
            if len(sys.argv) > 1 and case.__name__ not in sys.argv[1:]:
                continue
            try:
                case(top, image, mnt)
                print(f'ok: {case.__name__}', flush=True)
            except bi.Failed as e:
                print(f'FAILED: {case.__name__}: {e}', flush=True)
                failed.append(case.__name__)
                subprocess.run(['umount', '-l', mnt], check=False, stderr=subprocess.DEVNULL)
    if failed:
        raise bi.Failed(', '.join(failed))


if __name__ == '__main__':
    bi.need('root', '/dev/fuse')
    bi.need_programs('ubtrfs', 'ubtrfsctl')
    bi.own_namespace()
    bi.main(test)
