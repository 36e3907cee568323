#!/usr/bin/python3
"""How long until all cores are up: `tools/boot_figures.py [CORES...]`, seconds since QEMU started.

Wall-clock time of a host that should be quiet: for orientation and for the targets of 15 s at 64
cores and 60 s at 255, never for a test.
"""
import sys
import time

from guest import Skerry

MEMORY = {4: "512M", 16: "1G"}  # more cores: 2 GiB
PATIENCE = 600
STAGES = {
    "loader": r"skerry boot: 32-bit entry",
    "init": r"entering init",
    "all up": r"cores (\d+) of \d+ are up after (\d+) ms",
    "prompt": r"Type help",
}


def measure(cores):
    """Seconds of each stage, and what core boot itself says."""
    memory = MEMORY.get(cores, "2G")
    with Skerry(f"boot-{cores}", CORES=cores, MEM=memory, NET="none") as guest:
        seconds, said = {}, None
        for stage, pattern in STAGES.items():
            found = guest.wait_for(pattern, PATIENCE)
            seconds[stage] = time.monotonic() - guest.started
            said = found if stage == "all up" else said
        return memory, seconds, int(said[1]), int(said[2])


def main(arguments):
    counts = [int(word) for word in arguments] or [4, 16, 64, 255]
    print("cores memory " + " ".join(f"{stage:>8}" for stage in STAGES) + "       up  core boot")
    for cores in counts:
        memory, seconds, up, took = measure(cores)
        row = " ".join(f"{seconds[stage]:6.1f} s" for stage in STAGES)
        print(f"{cores:5} {memory:>6} {row} {up:4}/{cores:<4} {took} ms", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
