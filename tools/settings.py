"""The KEY=value settings of `make run`: names, defaults, help, and what is legal for each.

A setting comes from the command line of make or of tools/run.py, or from the environment. Whatever
is wrong with one is said in a sentence (SettingError) before anything has been started.
"""
import ipaddress
import os
import re
import shlex
from dataclasses import dataclass

# name: (default, what `make help` says)
RUN = {
    "CORES": ("4", "virtual CPUs, 1 to 255"),
    "MEM": ("512M", "memory, as 512M or 2G"),
    "NUMA": ("1", "nodes that memory and virtual CPUs are split into, 1 to 8"),
    "CPU": ("max", "QEMU's CPU model"),
    "NIC": ("e1000", "network card: e1000, e1000-82545em, e1000e (82574L), or none"),
    "NICS": ("1", "how many network cards, 1 or 2: docs/routing.md"),
    "NET": ("user", "user (no root needed), tap, none, hub (of the cards); TAP= implies tap"),
    "TAP": ("", "TAP device; an existing one is used and left, a missing one made and removed"),
    "TAP2": ("", "the same for the second card"),
    "NETNS": ("", "network namespace to run in; made and removed when missing"),
    "IP": ("", "guest address a.b.c.d/n; empty: DHCP, then 10.0.2.15 (user) or 10.77.0.2/24 (tap)"),
    "GW": ("", "guest gateway; on tap also the host's address on a TAP that is made here"),
    "FORWARD": ("", "more ports of 127.0.0.1 to the guest with NET=user, as tcp:7,udp:7,tcp:5001"),
    "TEST": ("", "1: start what only tests may use"),
    "PLACE": ("", "which domain on which core, or in whose domain, as netd:e1000,httpd:3"),
    "COUNT": ("", "SERVICE:WARM:N, counting markers in a service"),
    "SEED": ("", "random seed of the guest, a number"),
    "LOG": ("", "log level: error, warn, info or trace"),
    "MEMORY": ("", "checked: free memory holds a pattern, whoever writes to it is found"),
    "SUSPECT": ("", "ms until a core that does not answer is left out, 0 never; empty: 5000"),
    "START": ("", "who starts the cores: tree (each its children), flat or serial (core 0)"),
    "POLL": ("", "polling budget; empty: 0 when there are more virtual CPUs than the host has"),
    "SERIAL": ("", "file that gets a copy of the serial line; with HEADLESS=1 all of it"),
    "HEADLESS": ("", "1: no terminal; serial to SERIAL or standard output; runs until signalled"),
    "RUNDIR": ("", "folder for the sockets `serial` and `qmp`; empty: one of its own, removed"),
    "ISO": ("", "image to boot; empty: BUILD/skerry.iso"),
    "QEMU_ARGS": ("", "more arguments for QEMU"),
    "DRY": ("", "1: print QEMU's command line and end"),
}
# name: (default, help) of the settings that other targets take.
BUILD = {
    "BUILD": ("build", "folder for everything that is built"),
    "PROGRAMS": ("", "build only these programs of tools/programs.toml"),
    "DEFINES": ("", "preprocessor names for all OS sources, as NAME=1"),
    "CMDLINE": ("", "settings in GRUB's menu, for when QEMU hands over none"),
    "MORE": ("", "a folder with programs of its own, built in beside ours: tests/hostile"),
}
COUNTS = {
    "REPEAT": ("1", "make counts: how often to measure; differing runs show a range"),
    "ROW": ("", "make net-costs: only this row, by function"),
    "TESTS": ("tests/system", "make longest-path: what runs, as pytest takes it; bench: usr/bench"),
}
EXP = {
    "NAME": ("", "make exp: experiments of usr/bench by name; empty: all"),
    "MODE": ("", "make exp: count, model or time; empty: the first two"),
    "CONSOLE": ("", "make exp MODE=time: what the serial line of a real machine has said, a file"),
    "A": ("", "make exp-diff: the revision to compare with"),
    "B": ("", "make exp-diff: the revision that is compared; empty: the tree as it is"),
    "ROUNDS": ("2", "make vs-linux: how often the wall clock is taken, of both in turn"),
}
SIM = {
    "SEEDS": ("1000", "make sim: how many seeds, from 1"),
    "SIM": ("", "make sim: more options: --mutant NAME, --mutants, --cores 8, --verbose"),
}
FUZZ = {
    "FUZZ_SECONDS": ("60", "make fuzz-kernel: how long each of the two fuzzers runs"),
    "JOIN": ("", "make fuzz-kernel: 1 also keeps the smallest corpus, in BUILD/fuzz/kept"),
}
TEST = {
    "ALLOW_MISSING": ("", "make test: 1 lets it pass where root or TAP are missing"),
    "ONLY": ("", "make test: only these stages (check units tsan sim tools guest system)"),
    "PATIENCE": ("1", "make test: factor for all time-outs of tests, for slow machines"),
    "LONG": ("", "make test: 1 runs the long versions of system tests, as make soak does"),
    "K": ("", "make test: only system tests that match, as pytest's -k"),
}

# What make's command line may name: not all of it is for who looks.
ALL = (*RUN, *BUILD, *TEST, *COUNTS, *SIM, *EXP, *FUZZ)


class SettingError(Exception):
    pass


def make_overrides(flags):
    """Names that were set on make's command line, from MAKEFLAGS (`... -- A=1 B=x\\ y`)."""
    _, dashes, rest = f" {flags} ".partition(" -- ")
    words = re.findall(r"(?:\\.|[^\s\\])+", rest) if dashes else []
    return [w.partition("=")[0].rstrip(":+?") for w in words if "=" in w]


def gather(arguments, environment, known=RUN, also=ALL):
    """Values of all known settings; arguments win over the environment."""
    values = {name: environment.get(name) or default for name, (default, _) in known.items()}
    given = make_overrides(environment.get("MAKEFLAGS", ""))
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals:
            raise SettingError(f"{argument}: a setting has the form KEY=value")
        given.append(name)
        if name in values:
            values[name] = value or known[name][0]
    for name in given:
        if name not in values and name not in also:
            raise SettingError(f"{name}: no such setting; `make help` lists them")
    return values


def number(values, name, low, high):
    text = values[name]
    if not re.fullmatch(r"[0-9]{1,18}", text) or not low <= int(text) <= high:
        raise SettingError(f"{name}={text}: must be a number from {low} to {high}")
    return int(text)


def flag(values, name):
    if values[name] not in ("", "0", "1"):
        raise SettingError(f"{name}={values[name]}: must be 0 or 1")
    return values[name] == "1"


def factor(values, name):
    text = values[name]
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) or not float(text):
        raise SettingError(f"{name}={text}: must be a number above 0, as 3 or 0.5")
    return float(text)


def words(values, name):
    """The words of a setting that is written as for a shell."""
    try:
        return shlex.split(values[name])
    except ValueError as e:
        raise SettingError(f"{name}={values[name]}: {str(e).lower()}") from None


def choice(values, name, allowed):
    if values[name] not in allowed:
        raise SettingError(f"{name}={values[name]}: must be one of {', '.join(allowed)}")
    return values[name]


ONE_PLACE = r"[a-z0-9_.-]+:(\d+|[a-z][a-z0-9_.-]*)"
PLACES = f"{ONE_PLACE}(,{ONE_PLACE})*"


def matching(values, name, pattern, form):
    if values[name] and not re.fullmatch(pattern, values[name]):
        raise SettingError(f"{name}={values[name]}: must look like {form}")
    return values[name]


def address(values, name, kind, form):
    text = values[name]
    try:
        if text and "interface" in kind.__name__.lower() and "/" not in text:
            raise ValueError
        return kind(text) if text else None
    except ValueError:
        raise SettingError(f"{name}={text}: must look like {form}") from None


def megabytes(values):
    text = values["MEM"]
    match = re.fullmatch(r"([0-9]{1,7})([MG])", text)
    amount = int(match[1]) * (1024 if match[2] == "G" else 1) if match else 0
    if amount < 8:
        raise SettingError(f"MEM={text}: must look like 512M or 2G, and be at least 8M")
    return amount


def forwards(text):
    """(protocol, guest port) pairs; port 80 of TCP always comes first."""
    pairs = [("tcp", 80)]
    for word in filter(None, re.split(r"[ ,]+", text)):
        match = re.fullmatch(r"(tcp|udp):([0-9]{1,5})", word)
        if not match or not 0 < int(match[2]) < 65536:
            raise SettingError(f"FORWARD={text}: must look like tcp:7,udp:7")
        pair = (match[1], int(match[2]))
        if pair not in pairs:
            pairs.append(pair)
    return pairs


@dataclass
class Run:
    """Settings of one run, checked."""

    values: dict
    cores: int
    mem: int  # MiB
    nodes: int
    nic: str
    nics: int
    net: str  # user, tap, hub or none
    ip: object
    gw: object
    forwards: list
    headless: bool
    dry: bool


def checked(values):
    tap = matching(values, "TAP", r"[A-Za-z0-9_.-]{1,15}", "a device name of up to 15 characters")
    matching(values, "NETNS", r"[A-Za-z0-9_.-]{1,64}", "a name")
    if tap and values["NET"] == "user":
        values["NET"] = "tap"
    nic = choice(values, "NIC", ("e1000", "e1000-82545em", "e1000e", "none"))
    net = choice(values, "NET", ("user", "tap", "hub", "none"))
    matching(values, "TAP2", r"[A-Za-z0-9_.-]{1,15}", "a device name of up to 15 characters")
    if values["TAP2"] and (net != "tap" or values["NICS"] == "1"):
        raise SettingError("TAP2 is for NICS=2 on TAP")
    if tap and net != "tap":
        raise SettingError(f"NET={net} and TAP={tap} contradict each other")
    for name in ("SEED", "POLL", "SUSPECT"):
        if values[name]:
            number(values, name, 0, 10**18 - 1)
    if values["MEMORY"]:
        choice(values, "MEMORY", ("checked",))
    if values["START"]:
        choice(values, "START", ("tree", "flat", "serial"))
    if values["LOG"]:
        choice(values, "LOG", ("error", "warn", "info", "trace"))
    matching(values, "PLACE", PLACES, "netd:2,httpd:3 or netd:e1000")
    matching(values, "COUNT", r"[a-z0-9_.-]+:\d+:\d+", "udp:200:1000")
    matching(values, "CPU", r"[A-Za-z0-9_.,+=-]+", "max or qemu64")
    flag(values, "TEST")
    words(values, "QEMU_ARGS")
    return Run(
        values=values,
        cores=number(values, "CORES", 1, 255),
        mem=megabytes(values),
        nodes=number(values, "NUMA", 1, 8),
        nic=nic,
        nics=number(values, "NICS", 1, 2),
        net="none" if nic == "none" else net,
        ip=address(values, "IP", ipaddress.IPv4Interface, "10.77.0.2/24"),
        gw=address(values, "GW", ipaddress.IPv4Address, "10.77.0.1"),
        forwards=forwards(values["FORWARD"]),
        headless=flag(values, "HEADLESS"),
        dry=flag(values, "DRY"),
    )


def from_world(arguments):
    return checked(gather(arguments, os.environ))
