#!/usr/bin/python3
"""Boots the guest of this folder in place of init, on the real boot program and CPU driver, and
reads what it says; then boots with damaged input and reads the sentences.

    tests/cpudriver/run_guest.py [-k PART_OF_A_NAME]    uses BUILD (default build)

Each case is one QEMU run with a time-out; the serial line is kept as BUILD/guest/NAME.log. Ends
with `N passed, N failed`.
"""
import os
import re
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass, field

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
HERE = "tests/cpudriver"
sys.path.insert(0, os.path.join(ROOT, "tools"))
import bundle  # noqa: E402
import configure  # noqa: E402
import mkiso  # noqa: E402

from guest import PATIENCE  # noqa: E402

BUILD = os.environ.get("BUILD", "build")
WORK = os.path.join(BUILD, "guest")
GUEST_ADDRESS = 0x1000000
EXIT_OK = 1  # isa-debug-exit: 2 * value + 1

ONE_CORE = [
    "skerry boot: 32-bit entry", "skerry boot: long mode", "skerry boot: memory map: ",
    "skerry boot: ACPI: ", "skerry boot: CPU driver loaded", "skerry core 0: own page tables",
    "skerry core 0: entering init", "guest: up on core 0", "guest: ok null call",
    "guest: ok unknown operation is refused", "guest: ok wait ends at the deadline",
    "guest: ok an idle core halts", "guest: ok read of nothing", "guest: ok read of the CPU driver",
    "guest: ok read of the window", "guest: ok write to code", "guest: ok jump to data",
    "guest: ok stack guard", "guest: ok not canonical", "guest: ok hlt in ring 3",
    "guest: ok breakpoint", "guest: ok call and reply", "guest: ok SSE registers over calls",
    "guest: ok SSE registers over preemption", "guest: ok endpoint of a deleted dispatcher",
    "guest: ok preemption and round robin", "guest: ok a fault rings the parent",
    "guest: ok the parent sees the fault", "guest: ok hand-over page",
    "guest: ok device interrupts",
]  # fmt: skip


# What only a CPU with AVX and FSGSBASE says.
NEW_CPU = [
    "guest: ok AVX registers over calls", "guest: ok AVX registers of a new dispatcher",
    "guest: ok FS base over calls and sleep",
]  # fmt: skip


def all_cores(n):
    """What a run on n cores says after that of one core."""
    up = [f"guest: core {i} up" for i in range(1, n)]
    moved = [
        "guest: ok RAM that was given is not usable",
        "guest: ok the other core uses the RAM and gives it back",
        "guest: ok RAM that came back is usable",
    ]
    rung = [f"guest: ok doorbells to core {i}" for i in range(1, n)]
    return ONE_CORE + up + rung + (moved if n > 1 else [])


@dataclass
class Case:
    """One boot: `lines` must appear, in any order; `exit` is QEMU's, None: it is ended by us."""

    name: str
    lines: list
    cores: int = 1
    cpu: str = "max"
    mem: str = "512M"
    exit: int | None = EXIT_OK
    cmdline: str = ""  # by fw_cfg
    menu: str = mkiso.MENU
    change: dict = field(default_factory=dict)  # part: function on its bytes
    qemu: list = field(default_factory=list)


def halts(name, sentence, **more):
    """A boot that must end with that sentence."""
    return Case(name, [f"skerry boot: {sentence}"], exit=None, **more)


def without(part):
    return "\n".join(line for line in mkiso.MENU.split("\n") if f"/boot/{part}" not in line)


def writable_code(elf):
    """Sets the write flag of the first loadable segment."""
    table = bytearray(elf)
    (at,) = struct.unpack_from("<Q", elf, 32)
    (flags,) = struct.unpack_from("<I", elf, at + 4)
    struct.pack_into("<I", table, at + 4, flags | 2)
    return bytes(table)


def other_name(_):
    return bundle.pack([("domain", "outit", b"x" * 100)])


def flipped(data):
    """One bit of the first file's contents is wrong."""
    return data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]


CASES = [
    *(Case(f"cores-{n}", all_cores(n) + NEW_CPU, cores=n) for n in (1, 2, 4, 8)),
    Case("qemu64", all_cores(2), cores=2, cpu="qemu64"),
    Case("q35", all_cores(2), cores=2, qemu=["-machine", "q35"]),
    Case("least-memory", all_cores(4), cores=4, mem="120M"),
    Case("above-4g", all_cores(2), cores=2, mem="5G"),
    Case("icount", all_cores(2), cores=2, cmdline="tsc_khz=1000000",
         qemu=["-accel", "tcg,thread=single", "-icount", "shift=0"]),
    Case("settings", ["skerry boot: settings: 'nonsense' is unknown",
                      "skerry boot: settings: 'soon' is no value for 'tsc_khz'", "guest: done"],
         cmdline="nonsense=1 tsc_khz=soon"),
    Case("panic", ["[1] CPU driver panic: ", "[1] core halted", "cpu_start+0x",
                   "guest: ok another core's panic", "guest: done"],
         cores=2, cmdline="guest=panic"),
    halts("no-cpu-driver", "module 'cpudriver' is missing", menu=without("cpudriver.elf")),
    halts("no-bundle", "module 'bundle' is missing", menu=without("bundle")),
    halts("cut-cpu-driver", "module 'cpudriver' (20000 bytes): a segment leaves the image",
          change={"cpudriver": lambda b: b[:20000]}),
    halts("no-elf", "module 'cpudriver' (9 bytes): the image is not an x86-64 ELF executable",
          change={"cpudriver": lambda b: b"not a one"}),
    halts("writable-code", "module 'cpudriver'.*: a segment is both writable and executable",
          change={"cpudriver": writable_code}),
    halts("cut-bundle", "module 'bundle' (6000 bytes): the data ends too early",
          change={"bundle": lambda b: b[:6000]}),
    halts("no-bundle-at-all", "module 'bundle'.*: the data is not of its format",
          change={"bundle": lambda b: b"x" * 4096}),
    halts("no-init", "module 'bundle' has no domain image 'init'", change={"bundle": other_name}),
    halts("damaged-init", "domain image 'init' in module 'bundle' is damaged",
          change={"bundle": flipped}),
    halts("64-mib", "too little memory: 64 MiB found, 102 MiB needed", mem="64M"),
    halts("cores-without-memory", "too little memory: 100 MiB found, 120 MiB needed",
          mem="100M", cores=4),
    halts("no-long-mode", "this CPU has no 64-bit mode", cpu="qemu32"),
    halts("no-nx", "this CPU lacks NX", cpu="max,-nx"),
]  # fmt: skip


def build_guest():
    """The guest's image, from its sources, with the flags of a domain."""
    os.makedirs(WORK, exist_ok=True)
    sources = configure.sources([f"{HERE}/guest/*"]) + ["cpudriver/x86_64/memory.cpp"]
    objects = []
    for source in sources:
        out = os.path.join(WORK, os.path.basename(source) + ".o")
        asm = source.endswith(".S")
        flags = "-x assembler-with-cpp" if asm else configure.FLAVOURS["domain"]
        words = [configure.CXX, *flags.split(), "-I.", "-c", source, "-o", out]
        subprocess.run(words, check=True)
        objects.append(out)
    full, image = os.path.join(WORK, "guest.full.elf"), os.path.join(WORK, "guest.elf")
    link = [configure.LD, *configure.LINK.split(), "-T", configure.DOMAIN_SCRIPT]
    link += [f"--defsym=domain_base={GUEST_ADDRESS:#x}", "-o", full]
    subprocess.run(link + objects, check=True)
    subprocess.run([sys.executable, "tools/strip.py", full, image], check=True)
    with open(image, "rb") as f:
        packed = bundle.pack([("domain", "init", f.read())])
    with open(os.path.join(WORK, "bundle"), "wb") as f:
        f.write(packed)


def make_iso(case):
    parts = {
        "boot": f"{BUILD}/image/boot.elf",
        "cpudriver": f"{BUILD}/image/cpudriver.elf",
        "bundle": f"{WORK}/bundle",
    }
    folder = os.path.join(WORK, case.name)
    os.makedirs(folder, exist_ok=True)
    for part, change in case.change.items():
        with open(parts[part], "rb") as f:
            changed = change(f.read())
        parts[part] = os.path.join(folder, part)
        with open(parts[part], "wb") as f:
            f.write(changed)
    iso = os.path.join(folder, "guest.iso")
    menu, mkiso.MENU = mkiso.MENU, case.menu
    try:
        mkiso.main(iso, folder, *parts.values())
    finally:
        mkiso.MENU = menu
    return iso


def qemu(case, iso):
    words = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"]
    words += [] if "-machine" in case.qemu else ["-machine", "pc"]
    words += [] if "-accel" in case.qemu else ["-accel", "tcg,thread=multi"]
    words += ["-cpu", case.cpu, "-smp", str(case.cores), "-m", case.mem, "-no-reboot"]
    words += ["-cdrom", iso, "-boot", "d", "-serial", "stdio"]
    words += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    if case.cmdline:
        words += ["-fw_cfg", f"name=opt/skerry/cmdline,string={case.cmdline}"]
    return words + case.qemu


def listen(case, process, log):
    """Copies the serial line until QEMU ends or, for a boot that halts, it says so."""
    for raw in process.stdout:
        log.write(raw.decode(errors="replace"))
        if case.exit is None and b": halted" in raw:
            process.terminate()  # timeout passes it on


def problems(case, text, code):
    for line in case.lines:
        pattern = re.escape(line).replace(r"\.\*", ".*")
        if not re.search(f"^.*{pattern}", text, re.M):
            yield f"missing: {line}"
    for line in re.findall(r"^guest: FAILED.*$", text, re.M):
        yield line.strip()
    if case.exit is not None and code != case.exit:
        yield f"QEMU ended with {code}, expected {case.exit}"


def run(case, seconds=120 * PATIENCE):
    """What is wrong with this case: an empty list when nothing is."""
    path = os.path.join(WORK, f"{case.name}.log")
    words = ["timeout", "-k", "1", str(seconds), *qemu(case, make_iso(case))]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with open(path, "w+") as log, subprocess.Popen(words, **pipes) as process:
        listen(case, process, log)
        code = process.wait()
        log.seek(0)
        found = list(problems(case, log.read(), code))
    shutil.rmtree(os.path.join(WORK, case.name))
    return found + ([f"see {path}"] if found else [])


def main(arguments):
    part = arguments[1] if arguments[:1] == ["-k"] and len(arguments) == 2 else ""
    if arguments and not part:
        sys.exit(__doc__)
    build_guest()
    failed, chosen = 0, [c for c in CASES if part in c.name]
    for case in chosen:
        found = run(case)
        failed += bool(found)
        print(f"{'FAILED' if found else 'ok'} {case.name}", *found, sep="\n  ", flush=True)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))
