"""The Linux guest: Debian's kernel out of its package, one program, and QEMU around them.

The kernel is told to leave out what a research system does not do either (mitigations, security
modules, accounting, randomisation of programs), and is given its clock's frequency: calibrated on a
busy host it was off by up to sixteen times.
"""
import os
import re
import shlex
import subprocess
import tempfile
import threading
import time
from glob import glob

import qemu
import settings
from guest import BUILD, PATIENCE, ROOT, GuestError

FOLDER = os.path.join(BUILD, "vs_linux")
HERE = os.path.join(ROOT, "tools/vs_linux")
KERNEL, INITRAMFS = os.path.join(FOLDER, "vmlinuz"), os.path.join(FOLDER, "initramfs")
PACKAGE = "linux-image-amd64"  # the cloud kernel has no e1000
LEAN = "mitigations=off init_on_alloc=0 lsm=landlock audit=0 psi=0 cgroup_disable=memory " \
    "tsc=reliable clocksource=tsc norandmaps nokaslr"
CFLAGS = ["-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu11"]


def run(*words, cwd=None):
    ran = subprocess.run(words, capture_output=True, text=True, cwd=cwd)
    if ran.returncode:
        last = (ran.stdout + ran.stderr).strip().splitlines()[-1:] or ["no word"]
        raise GuestError(f"{' '.join(words)} fails: {last[0]}")
    return ran.stdout


def fetch_kernel():
    """Takes kernel and driver out of the package, which is not installed."""
    driver = os.path.join(FOLDER, "e1000.ko")
    if os.path.exists(KERNEL) and os.path.exists(driver):
        return
    found = re.search(r"Depends: (linux-image-\S+)", run("apt-cache", "depends", PACKAGE))
    if not found:
        raise GuestError(f"apt knows no {PACKAGE}; `apt-get update` may help")
    with tempfile.TemporaryDirectory() as folder:
        run("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", found[1], cwd=folder)
        run("dpkg-deb", "-x", glob(f"{folder}/*.deb")[0], folder)
        run("cp", glob(f"{folder}/lib/modules/**/e1000.ko", recursive=True)[0], driver)
        run("cp", glob(f"{folder}/boot/vmlinuz-*")[0], KERNEL)


def entry(name, mode, content, number):
    """One file of a cpio archive in the `newc` format."""
    path = name.encode() + b"\0"
    fields = [number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0]
    head = b"070701" + b"".join(b"%08x" % f for f in fields) + path
    head += bytes(-len(head) % 4)
    return head + content + bytes(-len(content) % 4)


def archive(files):
    """`files`: {name: (mode, content)}; the kernel unpacks it as its first file system."""
    parts = [entry(name, *what, i) for i, (name, what) in enumerate(files.items(), 1)]
    return b"".join([*parts, entry("TRAILER!!!", 0, b"", 0)])


def build():
    """Makes what is missing or older than its sources."""
    os.makedirs(FOLDER, exist_ok=True)
    fetch_kernel()
    compile_all = [
        ("drive", ["drive.c"], []),
        ("nothing", ["guest/nothing.c"], ["-static", "-nostdlib"]),
        ("init", ["guest/init.c", "guest/services.c", "guest/measure.c",
                  "guest/unmap.c"], ["-static", "-pthread"]),
    ]
    for name, sources, flags in compile_all:
        out = os.path.join(FOLDER, name)
        paths = [os.path.join(HERE, s) for s in sources]
        newest = max(map(os.path.getmtime, [*paths, f"{HERE}/guest/guest.h"]))
        if not os.path.exists(out) or os.path.getmtime(out) < newest:
            run("gcc", *CFLAGS, *flags, "-o", out, *paths)
    files = {name: (0o040755, b"") for name in ("proc", "dev")}
    for name in ("init", "nothing", "e1000.ko"):
        with open(os.path.join(FOLDER, name), "rb") as f:
            files[name] = (0o100755, f.read())
    with open(INITRAMFS, "wb") as f:
        f.write(archive(files))


class Linux:
    """A booted Linux; `order` is what its program shall do. Settings as of tools/run.py."""

    def __init__(self, order, plugin="", **values):
        run_ = settings.checked(settings.gather([f"{k}={v}" for k, v in values.items()], {}))
        words = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"]
        words += ["-machine", "pc", "-cpu", run_.values["CPU"], "-smp", str(run_.cores)]
        words += ["-m", f"{run_.mem}M", "-no-reboot", "-accel", "tcg,thread=multi"]
        words += ["-kernel", KERNEL, "-initrd", INITRAMFS, "-serial", "stdio"]
        line = f"console=ttyS0 quiet panic=-1 {LEAN} tsc_early_khz={qemu.tsc_khz(BUILD)}"
        words += ["-append", f"{line} -- {order}", *qemu.network(run_, [run_.values["TAP"]])]
        words += shlex.split(plugin)  # a second card comes after the first
        self.text, self.ended, self.news = "", False, threading.Condition()
        self.started = time.monotonic()
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)  # fmt: skip
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def read(self):
        for line in self.process.stdout:
            with self.news:
                self.text += line.decode(errors="replace").replace("\r", "")
                self.news.notify_all()
        with self.news:
            self.ended = True
            self.news.notify_all()

    def wait_for(self, pattern, timeout=60):
        end = time.monotonic() + timeout * PATIENCE
        with self.news:
            while not (found := re.search(pattern, self.text, re.M)):
                left = end - time.monotonic()
                if self.ended or left <= 0:
                    last = self.text.strip().splitlines()[-1:] or ["nothing"]
                    raise GuestError(f"Linux did not say /{pattern}/ but: {last[0]}")
                self.news.wait(left)
        return found

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(20)
        self.reader.join(10)
