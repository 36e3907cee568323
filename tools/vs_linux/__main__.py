"""`make vs-linux`: both systems on the same QEMU machine in one run, row by row.

    make vs-linux [ROUNDS=2]      rounds of the wall clock, alternating; 0: none

Runs in a network namespace of its own that goes with it, so it needs root. Instructions come from
the counting plugin, the same on both sides, and so do the clients. BUILD/vs_linux/table.txt keeps
the table. The exit status is 1 when a measurement failed, 2 when rows.toml or ROUNDS is wrong.
"""
import os
import subprocess
import sys

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), p) for p in (".", "..")]
import clients  # noqa: E402
import counts  # noqa: E402
import hostnet  # noqa: E402
import linux  # noqa: E402
import measure  # noqa: E402
import rows  # noqa: E402
from measure import LINUX, SKERRY, first_line  # noqa: E402

from guest import BUILD, ROOT, GuestError  # noqa: E402

FILE = os.path.join(ROOT, "tools/vs_linux/rows.toml")
INSIDE = "VS_LINUX_INSIDE"


class Results:
    """{side: {name: [Value]}} and what went wrong."""

    def __init__(self):
        self.found, self.complaints = {"linux": {}, "skerry": {}}, []

    def complain(self, text):
        self.complaints.append(text)
        print(f"vs-linux: {text}", file=sys.stderr, flush=True)

    def take(self, side, what, measure_it):
        """A failure is told, and the rest goes on."""
        print(f"vs-linux: {side}: {what}", flush=True)
        try:
            for name, value in measure_it().items():
                self.found[side].setdefault(name, []).append(value)
        except (GuestError, OSError, ValueError, subprocess.TimeoutExpired) as e:
            self.complain(f"{side}: {what}: {first_line(e)}")


def known_names(figures):
    return {"linux": measure.PRIMITIVES | measure.NETWORK | measure.TIMED,
            "skerry": {f["id"] for f in figures} | measure.NETWORK | measure.TIMED}  # fmt: skip


def enter_namespace():
    """Starts itself again where there is nothing but a TAP device of ours."""
    if os.environ.get(INSIDE):
        hostnet.ip("link", "set", "lo", "up")
        for tap, address in ((clients.TAP, "10.77.0.1/24"), (clients.SECOND_TAP, "10.78.0.1/24")):
            hostnet.prepare_tap(tap, "", address, lambda _: None)  # it goes with the namespace
        return
    if os.geteuid() != 0:
        sys.exit("vs-linux: a network namespace and a TAP device need root")
    os.environ[INSIDE] = "1"
    os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv])


def measure_all(figures, rounds):
    all_of = Results()
    for side in (LINUX, SKERRY):
        all_of.take(side.name, "network, counted", lambda s=side: measure.count_network(s))
        all_of.take(side.name, "forwarding, counted", lambda s=side: measure.count_forwarding(s))
    for cores in (1, 2):
        what = f"primitives, {cores} processor{'s' * (cores > 1)}"
        all_of.take("linux", what, lambda n=cores: measure.linux_primitives(n))
    all_of.take("skerry", "primitives", lambda: measure.skerry_primitives(figures))
    for number in range(rounds):
        for side in (LINUX, SKERRY):
            what = f"clock, round {number + 1} of {rounds}"
            all_of.take(side.name, what, lambda s=side: measure.time_network(s, all_of.complain))
            all_of.take(side.name, "boot", lambda s=side: measure.time_boot(s))
    return all_of


def main(arguments):
    wish = arguments[0] if arguments else "2"
    if not wish.isdecimal():
        print(f"vs-linux: ROUNDS={wish} is no number of rounds", file=sys.stderr)
        return 2
    figures = counts.load_figures()
    try:
        table = rows.load(FILE, known_names(figures))
    except rows.RowError as e:
        print(f"vs-linux: {e}", file=sys.stderr)
        return 2
    try:
        if not os.environ.get(INSIDE):
            linux.build()  # it may have to fetch a kernel: the namespace leads nowhere
    except (GuestError, OSError) as e:
        print(f"vs-linux: {first_line(e)}", file=sys.stderr)
        return 1
    enter_namespace()
    counts.write_symbols(counts.FOLDER)
    wanted = {name for row in table for name in row["skerry"]} - measure.NETWORK
    wanted |= {"yield_pair", "yield_alone"}
    all_of = measure_all([f for f in figures if f["id"] in wanted], int(wish))
    text = "\n".join(rows.lines(table, all_of.found["linux"], all_of.found["skerry"]))
    print(text)
    print("Linux: Debian's 6.1, one processor (boot: 4), -cpu max; ratio above 1: Skerry is ahead.")
    with open(os.path.join(BUILD, "vs_linux/table.txt"), "w") as f:
        f.write(text + "\n")
    return 1 if all_of.complaints else 0


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))
