#!/usr/bin/python3
"""`make help`: every target and every KEY=value."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import settings  # noqa: E402

TARGETS = {
    "make image": "build the image, BUILD/skerry.iso; `make` alone does the same",
    "make image-more": "BUILD/skerry-more.iso, which has the programs of tests/model in it too",
    "make run": "boot it in QEMU; the terminal is its serial line, Ctrl-A X leaves",
    "make test": "all checks and tests; ends with `N passed, N failed`",
    "make test-placements": "the tests of the network with the stack in its driver's domain",
    "make soak": "the system tests for longer: more requests, bytes and damaged packets",
    "make chaos": "a domain that does its worst while HTTP is served, for twenty seeds more",
    "make check": "the rules of the tree: includes, format, instructions, sizes",
    "make lint": "clang-tidy over the sources of the system (minutes)",
    "make counts": "instructions of each operation beside its target and other systems",
    "make tapstack": "the network stack as a process of Linux, on a TAP: BUILD/tapstack/tapstack",
    "make net-cover": "lines of net/ that its unit tests reach, and those that they do not",
    "make net-costs": "instructions of the network stack alone, by stage",
    "make exp": "experiments: rows, plots and a page in BUILD/exp; NAME=groups: that one",
    "make exp-quick": "the same with few points, in minutes",
    "make exp-diff": "A=rev B=rev: run an experiment on both, and compare",
    "make vs-linux": "Skerry and Linux on the same machine, row by row, with ratios",
    "make longest-path": "for how many instructions a CPU driver keeps interrupts off at most",
    "make check-isolation": "show on a run that cores share no memory but what is declared",
    "make messages": "what the domains of a run say to each other, counted and as pcapng",
    "make units": "build the host tests into BUILD/tests",
    "make sim": "SEEDS=N runs of many cores in one process; SEED=n: that one, with its chart",
    "make fuzz": "build the fuzzers into BUILD/fuzz",
    "make fuzz-kernel": "fuzzing of kernel/: executions, invocations, coverage",
    "make plugins": "build the plugins for QEMU into BUILD/plugin",
    "make format": "clang-format over all sources",
    "make help": "this",
    "make doctor": "look at this machine: tools, versions, QEMU, TAP, KVM",
    "make setup": "install missing Debian packages; targets that build begin with it",
    "make compdb": "write BUILD/compile_commands.json for editors",
    "make configure": "write BUILD/build.ninja from tools/programs.toml and the files there are",
    "make clean": "remove BUILD",
}


def table(title, rows):
    print(title)
    for name, text in rows:
        print(f"  {name:22}{text}")
    print()


def setting_rows(group):
    for name, (default, text) in group.items():
        yield f"{name}={default}", text


table("Targets", TARGETS.items())
table("Settings of make run", setting_rows(settings.RUN))
table("Settings of every build", setting_rows(settings.BUILD))
table("Settings of make test", setting_rows(settings.TEST))
table("Settings of make sim", setting_rows(settings.SIM))
table("Settings of what counts instructions", setting_rows(settings.COUNTS))
table("Settings of make exp and make vs-linux", setting_rows(settings.EXP))
table("Settings of make fuzz-kernel", setting_rows(settings.FUZZ))
