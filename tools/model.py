#!/usr/bin/python3
"""`make model`: operations of groups on machines that are not here, under the coherence model.

MODEL="8x4 2x32" chooses machines, SOCKETSxCORES, optionally with a topology: 8x4-ring. The system
boots with that many cores, tests/model measures what a message costs between each two, builds its
trees from that, and times each operation on 2, 4, 8 .. cores by the clocks of the model. Figures
are simulated cycles (docs/model.md) of an operation's critical path; `flat` is unicast, one after
another. `make counts` has their instructions.
"""
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import counts  # noqa: E402
from guest import BUILD, ROOT, GuestError, Skerry  # noqa: E402
from settings import MODEL  # noqa: E402

TOPOLOGIES = {"full": 0, "ring": 1, "mesh": 2, "hypercube": 3}
SHAPES = ("flat", "k_ary", "binomial", "measured")
SAMPLES, POLL_TURNS, PROMPT = 3, 10_000_000, r"Type help"


def machine(text):
    """(sockets, cores of each, topology) of SOCKETSxCORES[-TOPOLOGY]."""
    found = re.fullmatch(r"(\d+)x(\d+)(?:-(\w+))?", text)
    topology = (found[3] or "mesh") if found else None
    if not found or topology not in TOPOLOGIES:
        sys.exit(f"model: {text!r} is not SOCKETSxCORES or SOCKETSxCORES-TOPOLOGY "
                 f"({', '.join(TOPOLOGIES)})")  # fmt: skip
    sockets, cores = int(found[1]), int(found[2])
    if not 1 <= sockets <= 16 or not 2 <= sockets * cores <= 64:
        sys.exit(f"model: {text}: at most 16 sockets, and 2 to 64 cores in sum")
    return sockets, cores, TOPOLOGIES[topology]


def figures(text):
    """{(operation, shape, cores): (messages, cycles)} of what tests/model has said."""
    rows = counts.group_rows(text)
    return {key: (int(messages), int(cycles)) for key, (messages, cycles, _) in rows.items()}


def run(name, samples=SAMPLES):
    """What one machine says, and the records of the plugin."""
    sockets, cores, topology = machine(name)
    count = sockets * cores
    out = os.path.join(BUILD, "model", f"{name}.json")
    os.makedirs(os.path.dirname(out), exist_ok=True)
    if os.path.exists(out):
        os.remove(out)
    options = f"out={out},sockets={sockets},cores={cores},topo={topology},tsc=2,mhz=2000"
    settings = {"CORES": count, "NIC": "none", "MEM": "1G"}
    settings["QEMU_ARGS"] = f"-plugin {BUILD}/plugin/coherence.so,{options},mem_mb=1024"
    with Skerry(f"model-{name}", **settings) as guest:
        guest.wait_for(PROMPT, 300)
        up = int(guest.wait_for(r"cores (\d+) of \d+ are up", 300)[1])
        if up != count:
            raise GuestError(f"only {up} of {count} cores came up: the host is too busy")
        guest.send(f"spawn machine on 0 {count} {sockets} {samples} {POLL_TURNS}")
        guest.wait_for(r"machine done", 1800)
        guest.qmp("quit")
        guest.wait()
        text = guest.text
    with open(out) as f:
        return text, [json.loads(line) for line in f]


def table(found):
    """Lines: operation and cores, messages, then the figure along each kind of tree."""
    yield f"{'operation':12}{'cores':>6}{'messages':>10}" + "".join(f"{s:>11}" for s in SHAPES)
    for operation, cores in sorted({(op, n) for op, _, n in found}):
        cells = [found.get((operation, shape, cores)) for shape in SHAPES]
        messages = max((c[0] for c in cells if c), default=0)
        cycles = "".join(f"{c[1]:11,}" if c else f"{'-':>11}" for c in cells)
        yield f"{operation:12}{cores:6}{messages:10,}{cycles}"


def main():
    # A hand-over between threads on one host CPU is two to three times cheaper.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for name in (os.environ.get("MODEL") or MODEL["MODEL"][0]).split():
        try:
            text, records = run(name)
        except GuestError as e:
            sys.exit(f"model: {name}: {str(e).splitlines()[0]}")
        print(f"\n{name}: simulated cycles, critical path")
        for line in re.findall(r"(a line takes .*|from node 0 .*)$", text, re.M):
            print(f"  {line}")
        print("\n".join(table(figures(text))))
        if slips := sum(r.get("slip", 0) for r in records):
            print(f"  {slips} times the order of clocks was not kept: a loaded host")


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
