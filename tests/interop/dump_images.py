# SPDX-License-Identifier: GPL-2.0-or-later
"""Images that the kernel aged, one function a case: together they hold every kind of item that
mkfs.btrfs and this kernel will write. Needs root and loop devices. Used by dump_cases.py."""
import ctypes
import fcntl
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import btrfs_image as bi  # noqa: E402

FICLONERANGE = 0x4020940D
# Pairs of names with one name hash.
COLLIDING = ("user.88bzilh", "user.2ofmlwb", "user.mxpv28v", "user.ve0dggj",
             "user.u83v7ze", "user.ofuoy51")
CASES = {}


def case(fn):
    CASES[fn.__name__] = fn
    return fn


class Box:
    """One case's folder: images, their loop devices and mounts, all released by close()."""

    def __init__(self, folder):
        self.dir = folder
        self.loops = {}
        self.mounts = []
        os.makedirs(folder, exist_ok=True)

    def sh(self, *argv, ok=True):
        r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if ok and r.returncode:
            raise RuntimeError(f"{' '.join(argv)}: {r.stdout}")
        return r.stdout

    def image(self, name="a.img", mib=256):
        path = os.path.join(self.dir, name)
        with open(path, "wb") as f:
            f.truncate(mib << 20)
        return path

    def mkfs(self, images, *opts):
        self.sh("mkfs.btrfs", "-q", "-f", *opts, *images)
        return images

    def loop(self, image):
        if image not in self.loops:
            self.loops[image] = self.sh("losetup", "-f", "--show", image).strip()
        return self.loops[image]

    def mount(self, images, opts="noatime", name="m"):
        devs = [self.loop(i) for i in images]
        where = os.path.join(self.dir, name)
        os.makedirs(where, exist_ok=True)
        for d in devs:
            self.sh("btrfs", "device", "scan", d)
        self.sh("mount", "-t", "btrfs", "-o", opts, devs[0], where)
        self.mounts.append(where)
        return where

    def detach(self, image):
        dev = self.loops.pop(image)
        self.sh("btrfs", "device", "scan", "--forget", dev, ok=False)
        self.sh("losetup", "-d", dev, ok=False)

    def umount(self, where=None, ok=True):
        for w in [where] if where else list(reversed(self.mounts)):
            for image in [i for i in self.loops if i.startswith(w + "/")]:
                self.detach(image)
            self.sh("umount", w, ok=ok)
            self.mounts.remove(w)

    def copy(self, images, suffix=".copy"):
        """The images as they are on disk at this moment, as after a power cut."""
        out = []
        for i in images:
            self.sh("cp", "--sparse=always", i, i + suffix)
            out.append(i + suffix)
        return out

    def close(self):
        self.umount(ok=False)
        for image in list(self.loops):
            self.detach(image)


def write(path, data, mode="wb"):
    with open(path, mode) as f:
        f.write(data)


def noise(n, seed=1):
    out = bytearray()
    x = seed * 2654435761 & 0xFFFFFFFF
    while len(out) < n:
        x = (x * 1664525 + 1013904223) & 0xFFFFFFFF
        out += x.to_bytes(4, "little")
    return bytes(out[:n])


def clone(src, src_off, length, dst, dst_off):
    arg = src.fileno().to_bytes(8, "little") + b"".join(
        v.to_bytes(8, "little") for v in (src_off, length, dst_off))
    fcntl.ioctl(dst.fileno(), FICLONERANGE, arg)


def age(m, many=300):
    """Every kind of file that needs no special filesystem."""
    write(f"{m}/inline", b"small and inline\n")
    write(f"{m}/empty", b"")
    write(f"{m}/regular", noise(300000))
    os.symlink("regular", f"{m}/link")
    os.symlink("x" * 1000, f"{m}/longlink")
    os.mkfifo(f"{m}/fifo")
    os.mknod(f"{m}/chr", 0o20644, os.makedev(1, 3))
    os.mknod(f"{m}/blk", 0o60600, os.makedev(259, 70000))
    subprocess.run(["python3", "-c", "import socket,sys;socket.socket(socket.AF_UNIX)"
                    ".bind(sys.argv[1])", f"{m}/sock"], check=True)
    with open(f"{m}/sparse", "wb") as f:
        f.seek(1 << 20)
        f.write(noise(5000))
        f.truncate(9 << 30)
    with open(f"{m}/prealloc", "wb") as f:
        os.posix_fallocate(f.fileno(), 0, 1 << 20)
        f.seek(40960)
        f.write(noise(8192))
    os.mkdir(f"{m}/dir", 0o1777)
    for i in range(many):
        write(f"{m}/dir/file-{i:05d}", noise(i * 7 % 5000, i + 1))
    for i in range(0, many, 3):
        os.unlink(f"{m}/dir/file-{i:05d}")
    for name in ("back\\slash", "tab\there", "new\nline", "sp ace", "quote\"'", "\x01\x1f\x7f",
                 "h\u00e9h\u00e9 \u65e5\u672c", "%s%n", "a" * 255):
        write(f"{m}/{name}", name.encode())
    os.close(os.open(f"{m}/".encode() + b"bad\xff\xfeutf8\xc3", os.O_CREAT | os.O_WRONLY))
    os.chown(f"{m}/regular", 1000, 4294967294)
    os.utime(f"{m}/regular", ns=(-5 * 10**9, 1234567890123456789))
    os.setxattr(f"{m}/regular", "user.short", b"value")
    os.setxattr(f"{m}/regular", "user.binary", bytes(range(256)))
    os.setxattr(f"{m}/regular", "user.empty", b"")
    os.setxattr(f"{m}/inline", "trusted.t", noise(2000))
    write(f"{m}/nocow", b"")
    subprocess.run(["chattr", "+C", f"{m}/nocow"], check=False)
    write(f"{m}/nocow", noise(20000))
    write(f"{m}/flags", b"flags")
    subprocess.run(["chattr", "+iadASc", f"{m}/flags"], check=False)
    subprocess.run(["setfacl", "-m", "u:1000:rwx", f"{m}/dir"], check=False)


def reflinks(m, n, step=4096):
    with open(f"{m}/regular", "rb") as src, open(f"{m}/many-refs", "wb") as dst:
        for i in range(n):
            clone(src, 4096 * (i % 8), 4096, dst, i * 2 * step)


@case
def plain(b):
    """mkfs defaults, all sorts of files, subvolumes, snapshots, a default subvolume."""
    imgs = b.mkfs([b.image()], "-L", "a label")
    m = b.mount(imgs)
    age(m)
    b.sh("btrfs", "subvolume", "create", f"{m}/sub vol")
    age(f"{m}/sub vol", 50)
    b.sh("btrfs", "subvolume", "snapshot", f"{m}/sub vol", f"{m}/snap")
    b.sh("btrfs", "subvolume", "snapshot", "-r", f"{m}/snap", f"{m}/snap/ro")
    write(f"{m}/snap/new", b"after the snapshot")
    b.sh("btrfs", "subvolume", "set-default", f"{m}/snap")
    reflinks(m, 100)
    b.umount()
    return imgs


@case
def fresh(b):
    """Straight from mkfs."""
    return b.mkfs([b.image()], "-L", "tab\there")


@case
def old_features(b):
    """^no-holes, ^free-space-tree with a version 1 cache, explicit holes."""
    # Block groups below 100 MiB get no cache.
    imgs = b.mkfs([b.image(mib=2048)], "-O", "^no-holes,^free-space-tree")
    m = b.mount(imgs, "noatime,space_cache=v1")
    age(m)
    for i in range(3):
        write(f"{m}/more{i}", noise(70000, i))
        b.sh("sync", "-f", m)
    b.umount()
    return imgs


@case
def no_skinny(b):
    """EXTENT_ITEM for tree blocks, with keyed back references."""
    imgs = b.mkfs([b.image()], "-O", "^skinny-metadata,^extref", "-n", "4096")
    m = b.mount(imgs)
    b.sh("btrfs", "subvolume", "create", f"{m}/s")
    age(f"{m}/s", 400)
    for i in range(70):
        b.sh("btrfs", "subvolume", "snapshot", f"{m}/s", f"{m}/snap{i}")
        write(f"{m}/snap{i}/dir/new{i}", b"x")
    b.umount()
    return imgs


@case
def keyed_refs(b):
    """More references than fit in an extent item, by root and by parent."""
    imgs = b.mkfs([b.image(mib=400)], "-n", "4096")
    m = b.mount(imgs, "noatime,commit=1")  # deleted subvolumes go with each commit
    b.sh("btrfs", "subvolume", "create", f"{m}/s")
    age(f"{m}/s", 30)
    for i in range(300):
        with open(f"{m}/s/regular", "rb") as src, open(f"{m}/s/c{i}", "wb") as dst:
            clone(src, 0, 40960, dst, 0)
            clone(src, 0, 40960, dst, 1 << 20)
    for i in range(20):
        b.sh("btrfs", "subvolume", "snapshot", f"{m}/s", f"{m}/snap{i}")
        write(f"{m}/snap{i}/c{i}", b"other")
    b.sh("sync", "-f", m)
    b.sh("btrfs", "subvolume", "delete", f"{m}/s")
    for i in range(5):
        b.sh("btrfs", "subvolume", "delete", f"{m}/snap{i}")
    b.sh("btrfs", "subvolume", "sync", m)
    b.umount()
    return imgs


@case
def compressed(b):
    imgs = b.mkfs([b.image()], "--checksum", "xxhash")
    for kind in ("zlib", "lzo", "zstd"):
        m = b.mount(imgs, f"noatime,compress-force={kind}")
        write(f"{m}/{kind}", b"the same words again and again " * 20000)
        write(f"{m}/{kind}-inline", b"a" * 3000)
        write(f"{m}/{kind}-noise", noise(200000))
        b.umount()
    return imgs


def csum_case(b, name, node):
    imgs = b.mkfs([b.image()], "--checksum", name, "-n", node, "-O", "block-group-tree")
    m = b.mount(imgs)
    age(m)
    b.umount()
    return imgs


@case
def sha256_node4k(b):
    return csum_case(b, "sha256", "4096")


@case
def blake2_node64k(b):
    return csum_case(b, "blake2", "65536")


@case
def mixed(b):
    imgs = b.mkfs([b.image()], "--mixed", "-n", "4096")
    m = b.mount(imgs)
    age(m)
    b.umount()
    return imgs


@case
def qgroups(b):
    imgs = b.mkfs([b.image()])
    m = b.mount(imgs)
    b.sh("btrfs", "quota", "enable", m)
    for i in range(3):
        b.sh("btrfs", "subvolume", "create", f"{m}/s{i}")
        write(f"{m}/s{i}/f", noise(100000, i))
    b.sh("btrfs", "qgroup", "create", "1/100", m)
    b.sh("btrfs", "qgroup", "create", "65535/281474976710655", m)
    b.sh("btrfs", "qgroup", "assign", "0/256", "1/100", m, ok=False)
    b.sh("btrfs", "qgroup", "limit", "50M", f"{m}/s0")
    b.sh("btrfs", "qgroup", "limit", "-e", "60M", f"{m}/s1")
    b.sh("btrfs", "quota", "rescan", "-w", m)
    b.umount()
    return imgs


@case
def squota(b):
    imgs = b.mkfs([b.image()], "-O", "squota")
    m = b.mount(imgs)
    b.sh("btrfs", "subvolume", "create", f"{m}/s")
    age(f"{m}/s", 60)
    b.sh("btrfs", "subvolume", "snapshot", f"{m}/s", f"{m}/t")
    with open(f"{m}/s/regular", "rb") as src, open(f"{m}/t/shared", "wb") as dst:
        clone(src, 0, 40960, dst, 0)
    b.umount()
    return imgs


@case
def log_tree(b):
    """A power cut after fsync: log root tree, log trees, DIR_LOG_INDEX."""
    imgs = b.mkfs([b.image()])
    m = b.mount(imgs, "noatime,commit=300")
    b.sh("btrfs", "subvolume", "create", f"{m}/s")
    for d in (m, f"{m}/s"):
        os.mkdir(f"{d}/d")
        for i in range(20):
            write(f"{d}/d/f{i}", noise(6000, i))
    b.sh("sync", "-f", m)
    for d in (m, f"{m}/s"):
        os.unlink(f"{d}/d/f3")
        os.rename(f"{d}/d/f4", f"{d}/d/renamed")
        for name in (f"{d}/d/f5", f"{d}/d/new"):
            with open(name, "ab") as f:
                f.write(noise(9000))
                os.fsync(f.fileno())
        fd = os.open(f"{d}/d", os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    out = b.copy(imgs)
    b.umount()
    return out


@case
def orphans(b):
    """Files open and unlinked, a subvolume on its way out, at a power cut."""
    imgs = b.mkfs([b.image()])
    m = b.mount(imgs, "noatime,commit=300")
    b.sh("btrfs", "subvolume", "create", f"{m}/s")
    age(f"{m}/s", 3000)
    files = []
    for i in range(5):
        f = open(f"{m}/gone{i}", "wb")
        f.write(noise(9000, i))
        os.unlink(f.name)
        files.append(f)
    b.sh("sync", "-f", m)
    b.sh("chattr", "-ia", f"{m}/s/flags", ok=False)
    b.sh("btrfs", "subvolume", "delete", "-c", f"{m}/s")
    out = b.copy(imgs)
    for f in files:
        f.close()
    b.umount()
    return out


@case
def balance_paused(b):
    imgs = b.mkfs([b.image(mib=1000)])
    m = b.mount(imgs)
    for i in range(6):
        write(f"{m}/f{i}", noise(1 << 16, i) * 1000)
        b.sh("sync", "-f", m)
    age(m)
    for delay in (0.02, 0.05, 0.1, 0.2, 0):
        b.sh("btrfs", "balance", "start", "-dusage=1..100,vrange=0..99999999999,limit=1..100",
             "-musage=100,soft,convert=dup", "--bg", m)
        time.sleep(delay)
        b.sh("btrfs", "balance", "pause", m, ok=False)
        if "paused" in b.sh("btrfs", "balance", "status", m, ok=False):
            break
    b.umount()
    return imgs


@case
def shared_blocks(b):
    """Leaves that more nodes share, by parent, than fit in an extent item."""
    imgs = b.mkfs([b.image(mib=400)], "-n", "4096")
    m = b.mount(imgs, "noatime,commit=1")
    b.sh("btrfs", "subvolume", "create", f"{m}/s")
    os.mkdir(f"{m}/s/dir")
    for i in range(1400):
        write(f"{m}/s/dir/f{i:04d}", b"")
    for i in range(26):
        b.sh("btrfs", "subvolume", "snapshot", f"{m}/s", f"{m}/owner{i}")
        os.utime(f"{m}/owner{i}/dir/f{i * 3:04d}")
        b.sh("btrfs", "subvolume", "snapshot", f"{m}/owner{i}", f"{m}/keeper{i}")
    b.sh("sync", "-f", m)
    for i in range(26):
        b.sh("btrfs", "subvolume", "delete", f"{m}/owner{i}")
    b.sh("btrfs", "subvolume", "sync", m)
    b.umount()
    return imgs


@case
def reloc_cut(b):
    """A power cut in the middle of a balance: reloc trees, their flags, drop progress.

    The image lies in a btrfs, so that a moment of it can be kept by a clone."""
    host = b.mount(b.mkfs([b.image("host.img", 2000)]), "noatime", "host")
    imgs = b.mkfs([b.image("host/a.img", 600)], "-n", "4096")
    m = b.mount(imgs)
    b.sh("btrfs", "subvolume", "create", f"{m}/s")
    age(f"{m}/s", 3000)
    for i in range(5):
        b.sh("btrfs", "subvolume", "snapshot", f"{m}/s", f"{m}/t{i}")
        write(f"{m}/t{i}/new", b"new")
    b.sh("sync", "-f", m)
    p = subprocess.Popen(["btrfs", "balance", "start", "-m", "--force", m],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    kept = []
    while p.poll() is None and len(kept) < 200:
        kept.append(f"{host}/k{len(kept)}")
        b.sh("cp", "--reflink=always", imgs[0], kept[-1])
    p.wait()
    b.umount(m)
    found = kept[-1]
    for k in kept:
        if "TREE_RELOC ROOT_ITEM" in b.sh("btrfs", "inspect-internal", "dump-tree", "-r", k):
            found = k
            break
    out = os.path.join(b.dir, "cut.img")
    b.sh("cp", "--sparse=always", found, out)
    b.umount(host)
    return [out]


def raid(b, n, data, meta, **kw):
    imgs = [b.image(f"d{i}.img", **kw) for i in range(n)]
    b.mkfs(imgs, "-d", data, "-m", meta)
    m = b.mount(imgs)
    age(m)
    b.umount()
    return imgs


@case
def raid1_raid0(b):
    return raid(b, 2, "raid0", "raid1")


@case
def raid10_raid1c3(b):
    return raid(b, 4, "raid10", "raid1c3")


@case
def raid6_raid1c4(b):
    return raid(b, 4, "raid6", "raid1c4")


@case
def raid5(b):
    return raid(b, 3, "raid5", "raid5")


@case
def devices(b):
    """Added, replaced and removed devices; device statistics."""
    imgs = [b.image(f"d{i}.img", 300) for i in range(4)]
    b.mkfs(imgs[:2], "-d", "single", "-m", "raid1")
    m = b.mount(imgs[:2])
    age(m)
    b.sh("btrfs", "device", "add", "-f", b.loop(imgs[2]), m)
    b.sh("btrfs", "replace", "start", "-fB", "2", b.loop(imgs[3]), m)
    b.sh("btrfs", "device", "remove", b.loop(imgs[0]), m)
    b.umount()
    return [imgs[2], imgs[3]]


@case
def seed(b):
    imgs = [b.image("seed.img"), b.image("sprout.img")]
    b.mkfs(imgs[:1])
    m = b.mount(imgs[:1])
    age(m)
    b.umount()
    b.sh("btrfs", "device", "scan", "--forget", b.loop(imgs[0]), ok=False)
    b.sh("btrfstune", "-S", "1", imgs[0])
    m = b.mount(imgs[:1])
    b.sh("btrfs", "device", "add", "-f", b.loop(imgs[1]), m)
    b.sh("mount", "-o", "remount,rw", m)
    write(f"{m}/after", noise(50000))
    b.umount()
    return [imgs[1], imgs[0]]


@case
def metadata_uuid(b):
    imgs = b.mkfs([b.image()])
    b.sh("btrfstune", "-m", imgs[0])
    m = b.mount(imgs)
    age(m, 30)
    b.umount()
    return imgs


@case
def received(b):
    imgs = b.mkfs([b.image()])
    m = b.mount(imgs)
    b.sh("btrfs", "subvolume", "create", f"{m}/s")
    write(f"{m}/s/f", noise(70000))
    b.sh("btrfs", "subvolume", "snapshot", "-r", f"{m}/s", f"{m}/r")
    b.sh("btrfs", "send", "-f", f"{b.dir}/stream", f"{m}/r")
    os.mkdir(f"{m}/in")
    b.sh("btrfs", "receive", "-f", f"{b.dir}/stream", f"{m}/in")
    b.umount()
    return imgs


@case
def fragmented(b):
    """Free space bitmaps."""
    imgs = b.mkfs([b.image(mib=512)])
    m = b.mount(imgs, "noatime,nodatacow,max_inline=0")
    for i in range(6000):
        write(f"{m}/f{i:05d}", b"x" * 4096)
    b.sh("sync", "-f", m)
    for i in range(0, 6000, 2):
        os.unlink(f"{m}/f{i:05d}")
    b.umount()
    return imgs


@case
def hardlinks(b):
    """More names of one inode than one INODE_REF holds, and names whose hashes collide."""
    imgs = b.mkfs([b.image()], "-n", "4096")
    m = b.mount(imgs)
    write(f"{m}/one", b"linked")
    for i in range(400):
        os.link(f"{m}/one", f"{m}/link-number-{i:04d}-" + "y" * 40)
    for i in range(300):
        os.setxattr(f"{m}/one", f"user.attribute-{i}", b"v" * (i % 50))
    for name in COLLIDING:
        write(f"{m}/{name}", name.encode())
        os.setxattr(f"{m}/one", name, b"collides", 0)
    b.umount()
    return imgs
