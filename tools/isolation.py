#!/usr/bin/python3
"""`make check-isolation`: shows on a run that CPU drivers share no memory, and that a sharing one
would be caught.

Boots four cores under tools/isolation/isolation.c, loads the web server, and judges; then once more
with a build that has PLANTED_SHARED_COUNTER, which must be found.
"""
import http.client
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mkiso  # noqa: E402
from guest import BUILD, ROOT, Skerry  # noqa: E402

CORES, REQUESTS = 4, 300


@dataclass
class Violation:
    line: int
    owner: int
    owner_pc: int
    other: int
    other_pc: int


@dataclass
class Output:
    accesses: dict = field(default_factory=dict)  # vCPU: (loads, stores)
    read_by_many: int = 0
    violations: list = field(default_factory=list)
    beyond: int = 0


def parse(lines):
    output = Output()
    for line in lines:
        kind, *words = line.split()
        if kind == "C":
            output.accesses[int(words[0])] = (int(words[1]), int(words[2]))
        elif kind == "R":
            output.read_by_many = int(words[0])
        elif kind == "X":
            line, owner_pc, other_pc = (int(words[i], 16) for i in (0, 2, 4))
            output.violations.append(
                Violation(line, int(words[1]), owner_pc, int(words[3]), other_pc)
            )
        elif kind == "B":
            output.beyond = int(words[0])
        elif kind != "M":
            raise ValueError(f"isolation: unknown line {line!r}")
    return output


def request(port):
    """One GET of the page; False when the server is not there yet."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        return answer.status == 200
    except (OSError, http.client.HTTPException):
        return False


def load(guest):
    """Waits for the web server, then keeps it busy; how many requests were answered."""
    port = guest.port("tcp:80")
    guest.wait_for(r"httpd", 300)
    for _ in range(100):
        if request(port):
            break
    return sum(request(port) for _ in range(REQUESTS))


def observe(build, name):
    out = os.path.join(BUILD, f"isolation-{name}.txt")
    plugin = os.path.join(BUILD, "plugin/isolation.so")
    settings = {"ISO": f"{build}/skerry.iso", "CORES": CORES, "POLL": 0}
    settings["QEMU_ARGS"] = f"-plugin {plugin},out={out}"
    with Skerry(f"isolation-{name}", **settings) as guest:
        answered = load(guest)
    with open(out) as f:
        return parse(f), answered


def symbol(build, pc):
    """`function+offset` of a CPU driver's address."""
    words = ["llvm-symbolizer-19", "--no-inlines", "-e", f"{build}/bin/cpudriver.elf", hex(pc)]
    text = subprocess.run(words, capture_output=True, text=True).stdout.split("\n")
    return f"{text[0]} ({os.path.relpath(text[1].split(':')[0], ROOT)})" if text[0] else hex(pc)


def show(build, violations):
    for v in violations[:20]:
        print(f"  line {v.line:#x}: core {v.owner} in {symbol(build, v.owner_pc)}, "
              f"core {v.other} in {symbol(build, v.other_pc)}")  # fmt: skip
    if len(violations) > 20:
        print(f"  and {len(violations) - 20} more")


def complaints(output, answered):
    """What keeps a run from counting as evidence, besides violations."""
    for vcpu in range(CORES):
        if sum(output.accesses.get(vcpu, (0, 0))) == 0:
            yield f"no CPU driver was seen at work on core {vcpu}"
    if answered < REQUESTS:
        yield f"only {answered} of {REQUESTS} requests were answered"
    if output.beyond:
        yield f"{output.beyond} accesses beyond the memory that was watched"


def make(build, defines="", programs=""):
    environment = {**os.environ, "BUILD": build, "DEFINES": defines, "PROGRAMS": programs}
    subprocess.run(["/usr/bin/python3", "tools/configure.py"], env=environment, check=True)
    target = f"{build}/image/{programs}.elf" if programs else "image"
    words = ["ninja", "-f", f"{build}/build.ninja", "--quiet", target]
    subprocess.run(words, env=environment, check=True)


def make_planted(build):
    """Only the CPU driver is built anew; the rest of the image is the plain one's."""
    make(build, "PLANTED_SHARED_COUNTER=1", "cpudriver")
    parts = [f"{BUILD}/image/boot.elf", f"{build}/image/cpudriver.elf", f"{BUILD}/bundle"]
    mkiso.main(f"{build}/skerry.iso", f"{build}/iso", *parts)


def planted_somewhere():
    text = subprocess.run(
        ["git", "grep", "-l", "PLANTED_SHARED_COUNTER", "--", "cpudriver"],
        capture_output=True, text=True,
    ).stdout  # fmt: skip
    return bool(re.search(r"\S", text))


def main():
    failed = False
    for name in ("plain", "planted"):
        build = os.path.join(BUILD, "" if name == "plain" else name).rstrip("/")
        if name == "planted" and not planted_somewhere():
            print("planted: cpudriver has no PLANTED_SHARED_COUNTER to switch on")
            return 1
        make_planted(build) if name == "planted" else make(build)
        output, answered = observe(build, name)
        accesses = sum(map(sum, output.accesses.values()))
        print(f"{name}: {accesses} loads and stores of {len(output.accesses)} CPU drivers, "
              f"{answered} requests, {output.read_by_many} lines only read by several, "
              f"{len(output.violations)} shared")  # fmt: skip
        problems = list(complaints(output, answered))
        wrong = bool(output.violations) == (name == "plain") or problems
        if wrong or name == "planted":
            show(build, output.violations)
        for problem in problems:
            print(f"  {problem}")
        failed = failed or bool(wrong)
    print("check-isolation: failed" if failed else "check-isolation: nothing is shared")
    return 1 if failed else 0


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
