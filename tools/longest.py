#!/usr/bin/python3
"""`make longest-path`: for how many instructions a CPU driver keeps interrupts off at most.

From a way into ring 0 to the way out, interrupts are off: the longest such path is the longest that
an interrupt may have to wait. Runs system tests (all, or those that the arguments choose, as pytest
takes them) with every guest under tools/longest/longest.c, or with `bench` usr/bench and the start
of a core alone, and lists the most instructions by operation; then the functions in which the
longest spent them.

    tools/longest.py [bench | PYTEST_ARGUMENTS...]
"""
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from glob import glob

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from guest import BUILD, ROOT, Skerry  # noqa: E402

FOLDER = os.path.join(BUILD, "longest")
PROGRAM = os.path.join(BUILD, "bin/cpudriver.elf")
PLUGIN = os.path.join(BUILD, "plugin/longest.so")
SHOWN = 12
VECTORS = {"vector 14": "page fault", "vector 240": "timer", "vector 6": "invalid opcode",
           "vector 13": "general protection", "vector 3": "breakpoint"}  # fmt: skip


@dataclass
class Longest:
    """All paths of one kind: how often, instructions in sum and at most, blocks of the longest."""

    times: int = 0
    total: int = 0
    most: int = 0
    blocks: dict = field(default_factory=dict)  # address: how often


def parse(lines):
    """{operation: Longest} of one guest."""
    found, last = {}, None
    for line in lines:
        kind, *words = line.split()
        if kind == "P":
            times, total, most = map(int, words[:3])
            last = found[" ".join(words[3:])] = Longest(times, total, most)
        elif kind == "B":
            last.blocks[int(words[0], 16)] = int(words[1])
        else:
            raise ValueError(f"longest: unknown line {line!r}")
    return found


def merge(runs):
    """All guests together: the longest of each kind comes from one of them."""
    together = {}
    for run in runs:
        for name, path in run.items():
            known = together.setdefault(name, Longest())
            known.times += path.times
            known.total += path.total
            if path.most > known.most:
                known.most, known.blocks = path.most, path.blocks
    return together


def symbols():
    """(address, bytes, demangled name) of the CPU driver's functions, by address."""
    words = ["llvm-nm-19", "-C", "-S", "--defined-only", PROGRAM]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    lines = re.findall(r"^(\w+) (\w+ )?[tTwW] (.*)$", text, re.M)
    return sorted((int(at, 16), int(size.strip() or "0", 16), name) for at, size, name in lines)


def operations(source, names):
    """{address: operation}: handlers are the lambdas of a few functions, each in the order of its
    lines; or the functions that need no look into the table."""
    function = re.compile(r"^consteval void Invoker::(add_\w+_rules)\(.*?\{$(.*?)^\}", re.M | re.S)
    handler = re.compile(r"Invoker::(add_\w+_rules)\(.*\)::'lambda(\d*)'\(.*\)::__invoke")
    order = {name: re.findall(r"^    rules\.(?:on|in_registers)\((?:Op::)?(\w+),", body, re.M)
             for name, body in function.findall(source)}  # fmt: skip
    place = {}
    for address, _, name in names:
        found = handler.search(name)
        direct = re.match(r"kernel::Core::(call|reply_wait|wait)\(", name)
        if found:
            place[address] = order[found[1]][int(found[2]) + 1 if found[2] else 0]
        elif direct:
            place[address] = direct[1]
    return place


def options(names):
    """The plugin's, but for `out`; writes where operations begin."""
    os.makedirs(FOLDER, exist_ok=True)
    with open(os.path.join(ROOT, "kernel/invoke.cpp")) as f:
        place = operations(f.read(), names)
    path = os.path.join(FOLDER, "operations")
    with open(path, "w") as f:
        f.writelines(f"{at:x} {name}\n" for at, name in place.items())
    at = {name: address for address, _, name in names}
    return f"call={at['cpu_system_call']:x},stubs={at['cpu_vector_stubs']:x},ops={path}"


def run_bench(plugin):
    out = os.path.join(FOLDER, "bench.paths")
    settings = {"CORES": 1, "NIC": "none", "POLL": 0, "COUNT": "bench:2:4"}
    settings["QEMU_ARGS"] = f"-icount shift=0,sleep=off -plugin {PLUGIN},{plugin},out={out}"
    with Skerry("longest", **settings) as guest:
        guest.wait_for(r"\bbench (done|cannot)\b", 600)


def run_start(plugin):
    """Another core gets its half of the memory: as many blocks leave the window as may at once."""
    out = os.path.join(FOLDER, "start.paths")
    settings = {"CORES": 2, "MEM": "3G", "NIC": "none"}
    settings["QEMU_ARGS"] = f"-plugin {PLUGIN},{plugin},out={out}"
    with Skerry("longest-start", **settings) as guest:
        guest.wait_for(r"\bcores 2 of 2 are up\b", 120)


def run_tests(plugin, arguments):
    """tools/guest.py starts every guest with the plugin and gives it a file of its own.

    Pytest's exit status: what failed may have ended before its longest path."""
    environment = {**os.environ, "GUEST_PLUGIN": f"{PLUGIN},{plugin}", "GUEST_PLUGIN_OUT": FOLDER}
    words = ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    chosen = arguments or ["tests/system"]
    return subprocess.run([*words, *chosen], cwd=ROOT, env=environment).returncode


def function_at(names, address):
    below = [n for n in names if n[0] <= address]
    return below[-1][2] if below else hex(address)


def instructions_from(blocks):
    """{block: instructions}: from its first to the next that leaves the straight line."""
    words = ["llvm-objdump-19", "-d", "--no-show-raw-insn", "--no-leading-headers", PROGRAM]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    listed = re.findall(r"^\s*([0-9a-f]+):\s+(\S+)", text, re.M)
    at = {int(a, 16): i for i, (a, _) in enumerate(listed)}
    counts = {}
    for block in blocks:
        i = first = at.get(block, 0)
        while not re.match(r"j|call|ret|sys|iret|hlt|rep|mov.*cr|ud2", listed[i][1]):
            i += 1
        counts[block] = i - first + 1
    return counts


def show(together, names):
    rows = sorted(together.items(), key=lambda kv: -kv[1].most)
    print(f"{'operation':24} {'paths':>10} {'mean':>8} {'most':>8}")
    for name, path in rows:
        shown = VECTORS.get(name, name)
        print(f"{shown:24} {path.times:10,} {path.total / path.times:8,.0f} {path.most:8,}")
    name, path = rows[0]
    print(f"\nlongest: {path.most:,} instructions, {VECTORS.get(name, name)}; in")
    where, length = Counter(), instructions_from(path.blocks)
    for block, times in path.blocks.items():
        where[function_at(names, block)] += times * length[block]
    for function, count in where.most_common(SHOWN):
        print(f"{count:9,}  {function}")


def measured(arguments, names):
    """{operation: Longest} of what the arguments choose, and what pytest ended with."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    plugin = options(names)
    failed, runs = 0, []
    if arguments == ["bench"]:
        run_bench(plugin)
        run_start(plugin)
    else:
        failed = run_tests(plugin, arguments)
    for path in glob(f"{FOLDER}/*.paths"):
        with open(path) as f:
            runs.append(parse(f))
    if not runs:
        sys.exit("longest: no guest has told its paths")
    return merge(runs), failed


def main(arguments):
    names = symbols()
    together, failed = measured(arguments, names)
    show(together, names)
    if failed:
        sys.exit(f"longest: pytest ended with {failed}: of what failed not all was seen")


if __name__ == "__main__":
    os.chdir(ROOT)
    main(sys.argv[1:])
