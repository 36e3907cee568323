#!/usr/bin/python3
"""`make net-costs`: instructions of the network stack alone, by stage (docs/network.md).

tests/cost/net_cost.cpp runs the objects of the running system on the host and says at which
addresses they spent their instructions; symbols say whose those are. Checksums and copies stand
apart, as their cost goes with the bytes. An argument chooses a row and shows its functions.
"""
import bisect
import os
import subprocess
import sys

BUILD = os.environ.get("BUILD", "build")
PROGRAM = os.path.join(BUILD, "cost/net_cost")
STAGES = ("link", "ip", "tcp", "udp", "events", "checksum", "copy", "timer")
# The first that a symbol begins with decides.
OWNERS = (
    ("net::Checksum", "checksum"),
    ("memcpy", "copy"), ("memmove", "copy"), ("memset", "copy"),
    ("net::tcp::", "tcp"), ("net::ByteRing", "tcp"), ("net::siphash", "tcp"),
    ("net::Udp", "udp"), ("net::Ip::", "ip"),
    ("net::Parts::settle", "events"), ("net::Stack", "events"), ("net::", "link"),
    ("(anonymous namespace)::set_timer", "timer"), ("(anonymous namespace)::cancel_timer", "timer"),
)  # fmt: skip
# Of which stage of which row the target is; the rows are those of tools/targets.toml.
TARGETS = {
    ("tcp_input", "tcp"): 186,
    ("tcp_input_1000", "tcp"): 320,
    ("tcp_input_ack", "tcp"): 186,
    ("tcp_output", "tcp"): 191,
    ("tcp_input", "ip"): 57,
    ("tcp_output", "ip"): 57,
    ("timer_set", "timer"): 35,
    ("timer_cancel", "timer"): 35,
}


def symbols():
    text = subprocess.run(
        ["llvm-nm-19", "-C", "--defined-only", "-n", PROGRAM],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    found = [line.split(" ", 2) for line in text.splitlines()]
    return [(int(address, 16), name) for address, kind, name in found if kind in "tTwW"]


def owner(name, row):
    if "sum_of" in name:
        return "checksum"
    if name.startswith("Wheel::"):
        return "timer" if row.startswith("timer") else "tcp"
    return next((stage for start, stage in OWNERS if name.startswith(start)), None)


def rows():
    out = subprocess.run([PROGRAM], check=True, capture_output=True, text=True).stdout
    table = symbols()
    starts = [address for address, _ in table]
    found, name = {}, None
    for line in out.splitlines():
        words = line.split()
        if words[0] == "row":
            name, times = words[1], int(words[2])
            found[name] = (times, {})
            continue
        address, count = int(words[0], 16), int(words[1])
        at = bisect.bisect_right(starts, address) - 1
        function = table[at][1] if address and at >= 0 else "memcpy"
        functions = found[name][1]
        functions[function] = functions.get(function, 0) + count
    return found


def main():
    wanted, found = sys.argv[1:], rows()
    if unknown := sorted(set(wanted) - set(found)):
        sys.exit(f"net-costs: no row {', '.join(unknown)}; there are {', '.join(found)}")
    print(f"{'row':<16}" + "".join(f"{stage:>10}" for stage in STAGES) + "   targets")
    for name, (times, functions) in found.items():
        if wanted and name not in wanted:
            continue
        sums = dict.fromkeys(STAGES, 0)
        for function, count in functions.items():
            if stage := owner(function, name):
                sums[stage] += count
        targets = [f"{s} {t}" for (row, s), t in TARGETS.items() if row == name]
        print(
            f"{name:<16}" + "".join(f"{sums[s] / times:>10.1f}" for s in STAGES)
            + "   " + ", ".join(targets)
        )  # fmt: skip
        for function, count in sorted(functions.items(), key=lambda f: -f[1]) if wanted else []:
            if owner(function, name):
                print(f"  {count / times:>8.1f} {owner(function, name):<9} {function}")


if __name__ == "__main__":
    main()
