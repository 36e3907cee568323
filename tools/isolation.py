#!/usr/bin/python3
"""`make check-isolation`: shows on a run that cores share no memory but what is declared for it,
and that what breaks the rule would be caught.

Boots eight cores under tools/isolation/isolation.c and lets them do everything by which memory goes
from core to core (see `drive`); then twice more with a fault planted into the CPU driver, to be
found: PLANTED_SHARED_COUNTER, a word that all write, and PLANTED_FALSE_MOVE, RAM that is
announced as given away and used on.
"""
import http.client
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mkiso  # noqa: E402
from guest import BUILD, ROOT, GuestError, Skerry  # noqa: E402
from shared_ram import shared_ram  # noqa: E402

CORES, REQUESTS, MEMORY_MB = 8, 300, 1024
VIEWS = 0x1100_0000_0000  # abi::views_at: below, a domain sees nothing that another does
MORE = "tests/hostile"  # domains that `drive` wants besides those of the image
# With the kind of violation that each is to be found by.
PLANTS = {"PLANTED_SHARED_COUNTER": "shared", "PLANTED_FALSE_MOVE": "given"}


@dataclass
class Violation:
    what: str  # shared, given: of CPU drivers; channel, buffer: of domains
    line: int
    owner: int
    owner_pc: int
    other: int
    other_pc: int


@dataclass
class Output:
    accesses: dict = field(default_factory=dict)  # vCPU: (loads, stores)
    read_by_many: int = 0
    watched: int = 0
    moves: tuple = (0, 0, 0)  # blocks given, blocks taken, lines whose history that ended
    channels: tuple = (0, 0, 0)  # channels, their lines that were written, stores to them
    queues: tuple = (0, 0, 0, 0)  # areas, buffers, descriptors passed, accesses to buffers
    violations: list = field(default_factory=list)
    beyond: int = 0


def parse(lines):
    output = Output()
    for line in lines:
        kind, *words = line.split()
        if kind == "C":
            output.accesses[int(words[0])] = (int(words[1]), int(words[2]))
        elif kind == "X":
            line, owner_pc, other_pc = (int(words[i], 16) for i in (1, 3, 5))
            who = int(words[2]), owner_pc, int(words[4]), other_pc
            output.violations.append(Violation(words[0], line, *who))
        elif kind in "RWB":
            name = {"R": "read_by_many", "W": "watched", "B": "beyond"}[kind]
            setattr(output, name, int(words[0]))
        elif kind in "GLQ":
            name = {"G": "moves", "L": "channels", "Q": "queues"}[kind]
            setattr(output, name, tuple(map(int, words)))
        elif kind != "M":
            raise ValueError(f"isolation: unknown line {line!r}")
    return output


def request(port):
    """One GET of the page; whether it came."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        return answer.status == 200
    except (OSError, http.client.HTTPException):
        return False


def load(guest, requests):
    """Waits for the web server, then keeps it busy; how many requests were answered."""
    port = guest.port("tcp:80")
    guest.wait_until_it_serves(300)
    return sum(request(port) for _ in range(requests))


def spawn(guest, what):
    """The id of a new domain."""
    return re.search(r"(\d+\.\d+) \w+ runs", guest.command(f"spawn {what}", timeout=120))[1]


def foreign(guest):
    """KiB of core 1's memory that belong to other cores (core, own, free, largest, foreign)."""
    return int(re.search(r"^ *1 +\d+ +\d+ +\d+ +(\d+)", guest.command("mem"), re.M)[1])


def restart(guest, core):
    """Its memory comes to the core that decides, which starts it again in that memory."""
    for what, then in (("down", "is stopped"), ("up", "is up")):
        said = guest.command(f"cores {what} {core}", timeout=300)
        if f"core {core} {then}" not in said:
            raise GuestError(f"cores {what} {core}: {said}")
    spawn(guest, f"faulty on {core} wait")


def drive(guest, requests):
    """Everything by which memory comes to another core; how many requests were answered."""
    answered = load(guest, requests)
    # A domain on four cores: frames are lent to each, unmapped, revoked.
    start = len(guest.text)
    spawn(guest, "parallel on 1 4")
    guest.wait_for(r"parallel done: right", 300, start)
    # A client shows memory to a server on another core and is killed: its frames are revoked there.
    start = len(guest.text)
    server, client = spawn(guest, "mapper on 2 serve"), spawn(guest, "mapper on 3 hold")
    guest.wait_for(r"mapper: held", 120, start)
    guest.command(f"kill {client}")
    guest.wait_for(r"what was shown has gone", 120, start)
    guest.command(f"kill {server}")
    # Larger domains than one core has memory for: blocks come from other cores, and go back.
    taken = []
    while not foreign(guest) and len(taken) < 8:
        taken.append(spawn(guest, "faulty on 1 wait with quota=32768"))
    for number in taken:
        guest.command(f"kill {number}", timeout=120)
    restart(guest, CORES - 1)
    return answered + load(guest, requests // 4)


def observe(build, name, requests=REQUESTS, work=drive):
    out = os.path.join(BUILD, f"isolation-{name}.txt")
    plugin = os.path.join(BUILD, "plugin/isolation.so")
    settings = {"ISO": f"{build}/skerry-more.iso", "CORES": CORES, "POLL": 0}
    settings["MEM"] = f"{MEMORY_MB}M"
    with shared_ram(MEMORY_MB) as (ram, words):
        options = f"out={out},ram={ram},mem_mb={MEMORY_MB},user_from={VIEWS:x}"
        settings["QEMU_ARGS"] = f"{words} -plugin {plugin},{options}"
        with Skerry(f"isolation-{name}", **settings) as guest:
            guest.wait_for(rf"cores {CORES} of {CORES} are up", 300)
            answered = work(guest, requests)
    with open(out) as f:
        return parse(f), answered


def image_at(build, pc):
    """The program whose code that is: the CPU driver, or a domain by its place in the table."""
    if pc >> 63:
        return f"{build}/bin/cpudriver.elf"
    with open(os.path.join(ROOT, "tools/programs.toml"), "rb") as f:
        names = [program["name"] for program in tomllib.load(f)["program"]]
    names += sorted(os.listdir(os.path.join(ROOT, MORE, "usr")))  # as tools/configure.py has them
    place = (pc >> 24) - 1
    return f"{BUILD}/bin/{names[place]}.elf" if place < len(names) else None


def symbol(build, pc):
    """`function (file)` of an address."""
    image = image_at(build, pc)
    if image is None:
        return hex(pc)
    words = ["llvm-symbolizer-19", "--no-inlines", "-e", image, hex(pc)]
    text = subprocess.run(words, capture_output=True, text=True).stdout.split("\n")
    return f"{text[0]} ({os.path.relpath(text[1].split(':')[0], ROOT)})" if text[0] else hex(pc)


def show(build, violations):
    for v in violations[:20]:
        print(f"  {v.what}: line {v.line:#x}: core {v.owner} in {symbol(build, v.owner_pc)}, "
              f"core {v.other} in {symbol(build, v.other_pc)}")  # fmt: skip
    if len(violations) > 20:
        print(f"  and {len(violations) - 20} more")


def complaints(output, answered, requests=REQUESTS):
    """What keeps a run from counting as evidence, besides violations."""
    for vcpu in range(CORES):
        if sum(output.accesses.get(vcpu, (0, 0))) == 0:
            yield f"no CPU driver was seen at work on core {vcpu}"
    if answered < requests + requests // 4:
        yield f"only {answered} of {requests + requests // 4} requests were answered"
    if output.beyond:
        yield f"{output.beyond} accesses or declared areas beyond what the plugin can watch"
    for what, count in (
        ("block was given away", output.moves[0]), ("block was taken", output.moves[1]),
        ("line of a channel was written", output.channels[1]),
        ("buffer changed its owner", output.queues[2]), ("buffer was used", output.queues[3]),
    ):  # fmt: skip
        if not count:
            yield f"no {what}"


def make(build, defines="", programs="", more=""):
    build = os.path.relpath(build, ROOT)  # as others build there, or all would be made again
    environment = {**os.environ, "BUILD": build, "DEFINES": defines, "PROGRAMS": programs,
                   "MORE": more}  # fmt: skip
    subprocess.run(["/usr/bin/python3", "tools/configure.py"], env=environment, check=True)
    target = f"{build}/image/{programs}.elf" if programs else "image"
    plan = f"{build}/build{'-more' if more else ''}.ninja"
    words = ["ninja", "-f", plan, "--quiet", target]
    subprocess.run(words, env=environment, check=True)


def make_plain():
    make(BUILD)
    make(BUILD, more=MORE)


def make_planted(build, plant):
    """Only the CPU driver is built anew; the rest of the image is that of `make_plain`."""
    make(build, f"{plant}=1", "cpudriver")
    parts = [f"{BUILD}/image/boot.elf", f"{build}/image/cpudriver.elf", f"{BUILD}/bundle-more"]
    mkiso.main(f"{build}/skerry-more.iso", f"{build}/iso", *parts, limit=0)


def folder_of(plant):
    return os.path.join(BUILD, plant.lower())


def tell(name, output, answered):
    accesses = sum(map(sum, output.accesses.values()))
    given, taken, cleared = output.moves
    channels, lines, stores = output.channels
    areas, buffers, passed, used = output.queues
    print(f"{name}: {answered} requests; {len(output.violations)} violations\n"
          f"  CPU drivers of {len(output.accesses)} cores: {accesses} loads and stores, "
          f"{output.watched} lines watched, {output.read_by_many} only read by several\n"
          f"  RAM moved: {given} blocks given, {taken} taken, the history of {cleared} lines "
          f"ended\n"
          f"  channels: {channels}, {lines} lines written, {stores} stores\n"
          f"  packet queues: {areas}, {buffers} buffers, {passed} times passed on, {used} loads "
          f"and stores")  # fmt: skip


def judge(name, build, planted=None):
    """One run; whether it was as it should be: clean, or with the kind of violation `planted`."""
    output, answered = observe(build, name)
    tell(name, output, answered)
    problems = list(complaints(output, answered))
    kinds = {v.what for v in output.violations}
    wrong = bool(problems) or (planted not in kinds if planted else bool(kinds))
    if wrong or planted:
        show(build, output.violations)
    for problem in problems:
        print(f"  {problem}")
    return not wrong


def main():
    make_plain()
    good = judge("plain", BUILD)
    for plant, kind in PLANTS.items():
        make_planted(folder_of(plant), plant)
        good = judge(plant.lower(), folder_of(plant), kind) and good
    print("check-isolation: nothing is shared" if good else "check-isolation: failed")
    return 0 if good else 1


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
