#!/usr/bin/python3
"""How long until all cores are up: `tools/boot_figures.py [CORES...]`, seconds since QEMU started;
`tools/boot_figures.py instructions [CORES...]`, what it takes by the counting plugin, whatever else
the host does: core 0 (firmware and loader included), the busiest of the others, and all of them.

Wall-clock time of a host that should be quiet: for orientation and for the targets of 15 s at 64
cores and 60 s at 255, never for a test. `CPU` is what QEMU has used of the host's processors until
the prompt, which tells more where the host has other things to do. START=flat or START=serial in
the environment has core 0 start all cores, at once or one after the other.
"""
import os
import resource
import sys
import time

import count_output
import counts
from guest import Skerry

MEMORY = {4: "512M", 16: "1G"}  # more cores: 2 GiB
PATIENCE = 600
ORDER = {key: os.environ[key] for key in ("START",) if key in os.environ}
STAGES = {
    "loader": r"skerry boot: 32-bit entry",
    "init": r"entering init",
    "all up": r"cores (\d+) of \d+ are up after (\d+) ms",
    "prompt": r"Type help",
}


def measure(cores):
    """Seconds of each stage, what core boot itself says, and the host's processor time."""
    memory = MEMORY.get(cores, "2G")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with Skerry(f"boot-{cores}", CORES=cores, MEM=memory, NET="none", **ORDER) as guest:
        seconds, said = {}, None
        for stage, pattern in STAGES.items():
            found = guest.wait_for(pattern, PATIENCE)
            seconds[stage] = time.monotonic() - guest.started
            said = found if stage == "all up" else said
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return memory, seconds, int(said[1]), int(said[2]), used


def count(cores):
    """Instructions of each vCPU until the prompt."""
    counts.write_symbols(counts.FOLDER)
    out = os.path.join(counts.FOLDER, f"boot-{cores}.txt")
    settings = {"CORES": cores, "MEM": MEMORY.get(cores, "2G"), "NET": "none", "POLL": 0, **ORDER}
    plugin = counts.plugin_arguments(out)
    with Skerry(f"boot-count-{cores}", **settings, QEMU_ARGS=plugin) as guest:
        guest.wait_for(STAGES["all up"], PATIENCE * 2)
        guest.wait_for(STAGES["prompt"], PATIENCE)
        guest.qmp("quit")
        guest.wait()
    return [vcpu.instructions for _, vcpu in sorted(count_output.read(out).vcpus.items())]


def show_instructions(numbers):
    print("cores        core 0       busiest    all others  of each  millions")
    for cores in numbers:
        first, *others = (n / 1e6 for n in count(cores))
        print(f"{cores:5} {first:13.2f} {max(others):13.2f} {sum(others):13.2f}"
              f" {sum(others) / len(others):8.2f}", flush=True)  # fmt: skip


def main(arguments):
    counted = arguments[:1] == ["instructions"]
    words = arguments[1:] if counted else arguments
    if wrong := [word for word in words if not word.isdecimal()]:
        sys.exit(f"boot_figures: {wrong[0]} is no number of cores")
    numbers = [int(word) for word in words] or ([4, 16, 64] if counted else [4, 16, 64, 255])
    if counted and 1 in numbers:
        sys.exit("boot_figures: instructions of the others than core 0 take at least 2 cores")
    if counted:
        return show_instructions(numbers)
    stages = " ".join(f"{stage:>8}" for stage in STAGES)
    print(f"cores memory {stages}       up  core boot       CPU")
    for cores in numbers:
        memory, seconds, up, took, used = measure(cores)
        row = " ".join(f"{seconds[stage]:6.1f} s" for stage in STAGES)
        print(f"{cores:5} {memory:>6} {row} {up:4}/{cores:<4} {took:6} ms"
              f" {used:7.1f} s", flush=True)  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
