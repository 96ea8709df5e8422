# SPDX-License-Identifier: GPL-2.0-or-later
"""What the Python tests share: images, loop devices, mounts by the kernel and by us, cleaning up.

A test that mounts calls own_namespace() first: it runs again in mount and process namespaces of its
own, so that whatever kills it takes its daemons and mounts along. Loop devices are told to go with
their last user as soon as they are mounted.
"""
import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20
SUPERS = (64 << 10, 64 << 20, 256 << 30)
SUPER_SIZE = 4096
TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Failed(Exception):
    """The test failed; the text says how."""


def build_dir():
    return os.environ.get('UBTRFS_BUILD') or os.path.join(os.path.dirname(TESTS), 'build')


def program(name):
    """The path of a program of the build."""
    for folder in ('fuse', 'tools', 'tools/dump', 'tools/ctl', 'tests/lib', 'tests/fuse'):
        path = os.path.join(build_dir(), folder, name)
        if os.path.isfile(path):
            return path
    raise Failed(f'{name} is not built in {build_dir()}')


def _opens(path):
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _kernel_has(fs):
    with contextlib.suppress(FileNotFoundError):
        subprocess.run(['modprobe', '-q', fs], check=False, stderr=subprocess.DEVNULL)
    with open('/proc/filesystems', encoding='ascii') as f:
        return fs in f.read().split()


MACHINE = {
    'root': lambda: os.geteuid() == 0,
    '/dev/fuse': lambda: _opens('/dev/fuse'),
    'loop devices': lambda: _opens('/dev/loop-control'),
    'btrfs in the kernel': lambda: _kernel_has('btrfs'),
}


def need(*things):
    """Skips the test when this machine lacks one of them."""
    for thing in things:
        if not MACHINE[thing]():
            print(f'SKIP: no {thing} here')
            sys.exit(77)


def skip(why):
    """Skips for a reason that is not the machine's; where everything must run, that is a failure."""
    print(f'SKIP: {why}')
    sys.exit(1 if os.environ.get('CI') == 'true' else 77)


def need_programs(*names):
    for name in names:
        try:
            program(name)
        except Failed as e:
            skip(e)


def own_namespace():
    if os.environ.get('UBTRFS_TEST_NS') != str(os.getppid()):
        # The variable names the parent, which as process 1 of the namespace is 0 to its children.
        os.environ['UBTRFS_TEST_NS'] = '0'
        os.execvp('unshare', ['unshare', '--mount', '--propagation', 'private', '--pid', '--fork',
                              '--kill-child', '--mount-proc', sys.executable, *sys.argv])
    del os.environ['UBTRFS_TEST_NS']
    # Process 1 inherits the daemons, and waits for them as an init does; the test is its child.
    child = os.fork()
    while child:
        pid, status = os.wait()
        if pid == child:
            os._exit(max(os.waitstatus_to_exitcode(status), 1 if status else 0))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def run(*cmd, ok=(0,), quiet=False, **kw):
    """Runs a command, returns its output. Any exit code not in `ok` fails the test."""
    cmd = [str(c) for c in cmd]
    done = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                          stdin=subprocess.DEVNULL, **kw)
    err = done.stderr.decode('utf-8', 'replace')
    if done.returncode not in ok:
        out = done.stdout.decode('utf-8', 'replace')
        raise Failed(f'{" ".join(cmd)}: exit code {done.returncode}\n{out[-2000:]}{err[-4000:]}')
    if err and not quiet:
        sys.stderr.write(err[-4000:])
    return done.stdout


@contextlib.contextmanager
def scratch():
    """A directory for images, gone at the end; whatever is still mounted in it goes first."""
    top = tempfile.mkdtemp(prefix='ubtrfs-test.')
    os.chmod(top, 0o755)
    try:
        yield top
    finally:
        with open('/proc/self/mounts', encoding='utf-8') as f:
            points = [line.split()[1] for line in f]
        for point in reversed(points):
            if point.startswith(top + '/'):
                subprocess.run(['umount', '-l', point], check=False)
        shutil.rmtree(top, ignore_errors=True)


def make_files(top, count, size):
    paths = [f'{top}/dev{i}.img' for i in range(1, count + 1)]
    for path in paths:
        with open(path, 'wb') as f:
            f.truncate(size)
    return paths


def _loop_attach(path):
    """losetup -f, with the device node made where nobody else makes it."""
    for _ in range(20):
        dev = run('losetup', '-f').decode().strip()
        if not os.path.exists(dev):
            with contextlib.suppress(FileExistsError):
                os.mknod(dev, 0o660 | stat.S_IFBLK, os.makedev(7, int(dev[len('/dev/loop'):])))
        done = subprocess.run(['losetup', dev, path], check=False, stderr=subprocess.PIPE)
        if done.returncode == 0:
            return dev
        time.sleep(0.05)  # somebody else was faster
    raise Failed(f'no loop device for {path}: {done.stderr.decode()}')


def kernel_mount(images, where, options=''):
    """Mounts by the kernel; the loop devices end with the mount."""
    devs = []
    try:
        devs += [_loop_attach(path) for path in images]
        opts = ','.join([o for o in (options,) if o] + [f'device={d}' for d in devs])
        run('mount', '-t', 'btrfs', '-o', opts, devs[0], where)
    finally:
        for dev in devs:
            run('losetup', '-d', dev)


def kernel_umount(where, images):
    run('umount', where)
    for path in images:
        for _ in range(200):
            if not run('losetup', '-j', path).strip():
                break
            time.sleep(0.02)
        else:
            raise Failed(f'a loop device stays on {path}')


@contextlib.contextmanager
def kernel_mounted(images, where, options=''):
    os.makedirs(where, exist_ok=True)
    kernel_mount(images, where, options)
    try:
        yield where
    finally:
        kernel_umount(where, images)


def wrap():
    return os.environ.get('UBTRFS_WRAP', '').split()


def daemons():
    """The process numbers of our daemons in this process namespace."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        with contextlib.suppress(OSError):
            if os.path.basename(os.readlink(f'/proc/{pid}/exe')) == 'ubtrfs':
                found.append(int(pid))
    return found


def uses_uring(pid):
    for fd in os.listdir(f'/proc/{pid}/fd'):
        with contextlib.suppress(OSError):
            if 'io_uring' in os.readlink(f'/proc/{pid}/fd/{fd}'):
                return True
    return False


@contextlib.contextmanager
def our_mount(images, where, options='ro'):
    """Mounts with ubtrfs, and unmounts as a person should: waiting for the daemon's end.

    UBTRFS_WRAP is a command to run it under.
    """
    os.makedirs(where, exist_ok=True)
    before = [os.stat(p).st_mtime_ns for p in images]
    run(*wrap(), program('ubtrfs'), '-o', options, *images, where)
    try:
        yield where
    finally:
        run(program('ubtrfsctl'), 'umount', where)
    if os.path.ismount(where):
        raise Failed('ubtrfsctl umount left the mount')
    if [os.stat(p).st_mtime_ns for p in images] != before:
        raise Failed('a read-only mount wrote to the image')


def walk(top, out, *options):
    run(program('ubtrfs-walk'), '--out', out, *options, top)
    return out


def _shorter(line, other):
    """A long line of a listing: the end of its path and the fields that the other has not."""
    if len(line) < 200:
        return line
    fields, others = line.split(' '), set(other.split(' '))
    return ' '.join(['...' + fields[0][-80:]] + [f[:200] for f in fields[1:] if f not in others])


def same_text(expected, got, what):
    """Two files must be equal; the first differences are shown."""
    done = subprocess.run(['cmp', '-s', expected, got], check=False)
    if done.returncode == 0:
        return
    diff = subprocess.run(['diff', '-a', '-U0', expected, got], stdout=subprocess.PIPE, check=False)
    lines = diff.stdout.decode('utf-8', 'replace').splitlines()
    shown = []
    for i, line in enumerate(lines[:40]):
        near = lines[i + 1:i + 2] if line[0] == '-' else lines[i - 1:i]
        shown.append(_shorter(line, near[0] if near else ''))
    raise Failed(f'{what} differs ({len(lines)} lines of diff):\n' + '\n'.join(shown))


def save(path, data):
    with open(path, 'wb') as f:
        f.write(data)
    return path


def _data_ranges(fd):
    end = os.fstat(fd).st_size
    at = 0
    while at < end:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            return
        at = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, at


def overwrite(image, rng, spare_supers=True, ranges=None):
    """Fills what was ever written of an image file (or the given ranges) with random bytes."""
    fd = os.open(image, os.O_RDWR)
    try:
        supers = [s for s in SUPERS if s < os.fstat(fd).st_size] if spare_supers else []
        kept = [(s, os.pread(fd, SUPER_SIZE, s)) for s in supers]
        for start, end in list(ranges or _data_ranges(fd)):
            for at in range(start, end, MIB):
                os.pwrite(fd, rng.randbytes(min(MIB, end - at)), at)
        for at, data in kept:
            os.pwrite(fd, data, at)
    finally:
        os.close(fd)


def main(test):
    """Runs a test function; a failure is its text and exit code 1."""
    try:
        test()
    except Failed as e:
        print(f'FAILED: {e}')
        sys.exit(1)
