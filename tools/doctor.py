#!/usr/bin/python3
"""`make doctor`: is this machine fit for Skerry? A line a finding; exits 1 when something lacks.

KVM is believed only after a stub has run on it: there are machines whose /dev/kvm opens, creates a
virtual machine, and then cannot run a long-mode guest.
"""
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
QEMU_LEAST = (7, 2)
STUB_EXIT = 0x10 << 1 | 1  # as isa-debug-exit makes it of 0x10


def output(*command, timeout=20):
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout
        )
        return done.returncode, done.stdout.strip()
    except (OSError, subprocess.TimeoutExpired) as e:
        return 1, str(e)


class Report:
    def __init__(self):
        self.bad = 0

    def good(self, text):
        print(f"  ok       {text}")

    def note(self, text):
        print(f"  note     {text}")

    def missing(self, text):
        self.bad += 1
        print(f"  MISSING  {text}")


def packages(report):
    with open(os.path.join(ROOT, "tools/packages.txt")) as f:
        wanted = re.findall(r"^([a-z0-9]\S*)\s", f.read(), re.M)
    form = "${db:Status-Abbrev}${Package} ${Version}\n"
    _, text = output("dpkg-query", "-W", "-f", form, *wanted)
    have = dict(re.findall(r"^ii +(\S+) (\S+)$", text, re.M))
    for name in wanted:
        if name in have:
            report.good(f"{name} {have[name]}")
        else:
            report.missing(f"{name}: `make setup` installs it")


def qemu_version(report):
    _, text = output("qemu-system-x86_64", "--version")
    match = re.search(r"version (\d+)\.(\d+)", text)
    if not match:
        return report.missing("qemu-system-x86_64 does not start")
    version = (int(match[1]), int(match[2]))
    name = f"QEMU {version[0]}.{version[1]}"
    if version < QEMU_LEAST:
        report.missing(f"{name}: at least {QEMU_LEAST[0]}.{QEMU_LEAST[1]} is needed")
    else:
        report.good(name)
    if version >= (8, 1):
        report.note(f"{name}: the plugins were written for the plugin interface of 7.2")


def tap(report):
    if os.geteuid() != 0:
        return report.note("not root: TAP devices and namespaces cannot be made; NET=user works")
    name = f"skdoc{os.getpid() % 100000}"
    code, text = output("ip", "tuntap", "add", "dev", name, "mode", "tap")
    if code:
        return report.missing(f"TAP: {text}; NET=user works without")
    output("ip", "link", "del", "dev", name)
    report.good("TAP devices can be made")
    code, text = output("ip", "netns", "add", name)
    if code:
        return report.missing(f"network namespaces: {text}")
    output("ip", "netns", "del", name)
    report.good("network namespaces can be made")


def long_mode_stub():
    """A Multiboot 1 image that enters long mode and then ends QEMU with exit code STUB_EXIT."""
    base = 0x100000
    header_bytes, code_at = 48, 48
    tables = base + 0x1000
    code = bytearray()
    # Page tables at `tables`: one entry each level, a 2 MiB page over the image.
    for address, value in (
        (tables, tables + 0x1003),  # PML4 -> PDPT
        (tables + 0x1000, tables + 0x2003),  # PDPT -> PD
        (tables + 0x2000, 0x83),  # PD -> 0..2 MiB
    ):
        code += b"\xc7\x05" + struct.pack("<II", address, value)  # mov dword [address], value
    code += b"\x0f\x20\xe0\x83\xc8\x20\x0f\x22\xe0"  # cr4 |= PAE
    code += b"\xb8" + struct.pack("<I", tables) + b"\x0f\x22\xd8"  # cr3 = tables
    code += b"\xb9\x80\x00\x00\xc0\x0f\x32\x0d\x00\x01\x00\x00\x0f\x30"  # EFER.LME = 1
    code += b"\x0f\x20\xc0\x0d\x00\x00\x00\x80\x0f\x22\xc0"  # cr0 |= PG
    gdt_pointer_at = code_at + len(code) + 7 + 7
    code += b"\x0f\x01\x15" + struct.pack("<I", base + gdt_pointer_at)  # lgdt
    target = gdt_pointer_at + 6 + 16
    code += b"\xea" + struct.pack("<IH", base + target, 8)  # jmp 8:target
    code += struct.pack("<HI", 15, base + gdt_pointer_at + 6)
    code += struct.pack("<QQ", 0, 0x00AF9A000000FFFF)  # null, 64-bit code
    code += b"\x48\xb8\x01\x00\x00\x00\x00\x00\x00\x00"  # mov rax, 1: 64-bit only
    code += b"\xb0\x10\xe6\xf4\xf4\xeb\xfd"  # mov al, 0x10; out 0xf4, al; hlt; again
    size = header_bytes + len(code)
    magic, flags = 0x1BADB002, 0x10000  # addresses in the header
    fields = (magic, flags, -(magic + flags) & 0xFFFFFFFF)
    load = (base, base, base + size, base + 0x5000, base + code_at)
    return struct.pack("<8I", *fields, *load).ljust(header_bytes, b"\0") + bytes(code)


def boots_stub(accel):
    with tempfile.NamedTemporaryFile() as f:
        f.write(long_mode_stub())
        f.flush()
        return output(
            "qemu-system-x86_64", "-nodefaults", "-display", "none", "-accel", accel, "-cpu", "max",
            "-m", "32M", "-no-reboot", "-kernel", f.name,
            "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
        )  # fmt: skip


def kvm_runs():
    return os.path.exists("/dev/kvm") and boots_stub("kvm")[0] == STUB_EXIT


def accelerators(report):
    code, text = boots_stub("tcg")
    if code == STUB_EXIT:
        report.good("QEMU runs a long-mode stub with TCG")
    else:
        report.missing(f"QEMU does not run a long-mode stub with TCG: {text or f'exit {code}'}")
    if not os.path.exists("/dev/kvm"):
        return report.note("no /dev/kvm: TCG is used, as always by default")
    code, text = boots_stub("kvm")
    if code == STUB_EXIT:
        report.good("KVM runs a long-mode stub; QEMU_ARGS='-accel kvm' uses it")
    else:
        why = "it made no progress" if "timed out" in text else f"QEMU's exit code {code}"
        report.note(f"/dev/kvm is there but runs no long-mode guest ({why}): TCG is used")


def main():
    report = Report()
    packages(report)
    if shutil.which("qemu-system-x86_64"):
        qemu_version(report)
        accelerators(report)
    tap(report)
    cpus = len(os.sched_getaffinity(0))
    report.good(f"{cpus} host cores") if cpus > 1 else report.note("1 host core: slow, but works")
    print("doctor: all there" if not report.bad else f"doctor: {report.bad} missing")
    return 1 if report.bad else 0


if __name__ == "__main__":
    sys.exit(main())
