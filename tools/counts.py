#!/usr/bin/python3
"""`make counts`: what each operation costs, beside its target and other systems' figures.

Rows come from tools/targets.toml. The guest's own benchmarks (usr/bench) run without any input
from outside under `-icount shift=0`, so their figures are the same in every run; the network's are
driven from the host through user networking, one operation at a time. REPEAT=2 measures twice and
shows a range where runs differ. Ids on the command line choose rows.
"""
import http.client
import os
import re
import socket
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from glob import glob

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check_image  # noqa: E402
import count_output  # noqa: E402
from guest import BUILD, ROOT, GuestError, Skerry, wait_readable  # noqa: E402

WARM, OPERATIONS = 50, 200
SAMPLES, SAMPLE_BEGIN, SAMPLE_END = 100, 16, 17
FOLDER = os.path.join(BUILD, "counts")
NO_VALUE = None


def load_figures(path=os.path.join(ROOT, "tools/targets.toml")):
    with open(path, "rb") as f:
        return tomllib.load(f)["figure"]


@dataclass
class Sampled:
    """One figure as the guest saw it by its clock: `count ID SAMPLES MEDIAN MEAN WORST`."""

    id: str
    samples: int
    median: int
    mean: int
    worst: int


def sampled(serial):
    found = re.findall(r"\bcount ([a-z0-9_]+) (\d+) (\d+) (\d+) (\d+)\s*$", serial, re.M)
    return [Sampled(name, *map(int, numbers)) for name, *numbers in found]


def complaints(serial):
    return re.findall(r"\bbench\] (.* could not be measured: .*|bench cannot .*)$", serial, re.M)


def bench_counts(serial, output):
    """{id: instructions of one operation on all cores}, the median of its samples.

    Each sample stands between markers 16 and 17, and figures come in the order in which the guest
    lists them. The guest's own clock would count idle time and miss nothing else.
    """
    figures, passed = sampled(serial), output.between(SAMPLE_BEGIN, SAMPLE_END)
    if sum(f.samples for f in figures) != len(passed):
        raise GuestError(f"counts: {len(passed)} samples seen, but the guest lists "
                         f"{sum(f.samples for f in figures)}")  # fmt: skip
    counts, start = {}, 0
    for figure in figures:
        mine = sorted(c.instructions for c in passed[start : start + figure.samples])
        start += figure.samples
        counts[figure.id] = mine[len(mine) // 2] - 1  # the marker that begins a sample is in it
    return counts


def write_symbols(folder):
    """Symbols of all programs for the profile, and where their code only polls."""
    os.makedirs(folder, exist_ok=True)
    symbols, polling = [], []
    for path in sorted(glob(f"{BUILD}/bin/*.elf")):
        text = subprocess.run(["llvm-nm-19", path], capture_output=True, text=True).stdout
        symbols.append(text)
        ends = dict((n, a) for a, _, n in re.findall(r"^(\S+) (\S) (text_poll_\w+)$", text, re.M))
        if ends.get("text_poll_begin") != ends.get("text_poll_end"):
            polling.append(f"{ends['text_poll_begin']} {ends['text_poll_end']}\n")
    with open(f"{folder}/symbols", "w") as f:
        f.writelines(symbols)
    with open(f"{folder}/polling", "w") as f:
        f.writelines(polling)


def plugin_arguments(out):
    library = os.path.join(BUILD, "plugin/insncount.so")
    options = f"out={out},syms={FOLDER}/symbols,poll={FOLDER}/polling"
    return f"-plugin {library},{options}"


def run_bench():
    """Everything that usr/bench measures. Nothing comes in from the host while it runs."""
    out = os.path.join(FOLDER, "bench.txt")
    settings = {"CORES": 4, "NIC": "none", "POLL": 0, "COUNT": f"bench:10:{SAMPLES}"}
    settings["QEMU_ARGS"] = f"-icount shift=0,sleep=off {plugin_arguments(out)}"
    with Skerry("counts-bench", **settings) as guest:
        guest.wait_for(r"\bbench (done|cannot)\b", 1800)
        guest.qmp("quit")
        guest.wait()
        serial = guest.text
    for complaint in complaints(serial):
        print(complaint, file=sys.stderr)
    return bench_counts(serial, count_output.read(out))


def drive_udp_echo(guest, operations):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", guest.port("udp:7")))
        for i in range(operations):
            message = i.to_bytes(8, "big") * 8
            s.send(message)
            while not wait_readable(s, 2):
                s.send(message)  # the first ones may be early
            if s.recv(2048) != message:
                raise GuestError(f"udp echo: answer {i} is not what was sent")


def drive_http(guest, operations):
    connection = http.client.HTTPConnection("127.0.0.1", guest.port("tcp:80"), timeout=60)
    for _ in range(operations):
        connection.request("GET", "/bytes/128")
        body = connection.getresponse().read()
        if len(body) != 128:
            raise GuestError(f"http: {len(body)} bytes instead of 128")


def drive_tcp_echo(guest, operations):
    for _ in range(operations):
        with socket.create_connection(("127.0.0.1", guest.port("tcp:7")), 60) as s:
            s.sendall(b"x")
            if s.recv(1) != b"x":
                raise GuestError("tcp echo: not what was sent")
            s.shutdown(socket.SHUT_WR)
            s.recv(1)


DRIVERS = {"udp-echo": drive_udp_echo, "http": drive_http, "tcp-echo": drive_tcp_echo}


def run_host(service):
    """Instructions an operation of a service, while the host asks for one at a time."""
    out = os.path.join(FOLDER, f"{service}.txt")
    settings = {"CORES": 4, "POLL": 0, "FORWARD": "udp:7,tcp:7", "IP": "10.0.2.15/24"}
    settings["COUNT"] = f"{service}:{WARM}:{OPERATIONS}"
    settings["QEMU_ARGS"] = plugin_arguments(out)
    with Skerry(f"counts-{service}", **settings) as guest:
        guest.wait_for(r"httpd", 300)
        DRIVERS[service](guest, WARM + OPERATIONS + 2)
        guest.qmp("quit")
        guest.wait()
    return round(count_output.read(out).window.instructions / OPERATIONS)


def measure(figures):
    """{id: value} of the figures; what cannot be measured yet is left out, and said."""
    values = {}
    if any(f["how"] == "bench" for f in figures) and os.path.exists(f"{BUILD}/image/bench.elf"):
        try:
            values.update(run_bench())
        except GuestError as e:
            print(str(e).splitlines()[0], file=sys.stderr)
    for figure in figures:
        if figure["how"] == "image":
            values[figure["id"]] = check_image.image_bytes(BUILD)
        elif figure["how"] == "host":
            try:
                values[figure["id"]] = run_host(figure["service"])
            except (GuestError, OSError) as e:
                print(f"{figure['id']}: {str(e).splitlines()[0]}", file=sys.stderr)
    return values


def cell(values):
    """One figure of several runs: the value, or its range when runs differ."""
    found = sorted(set(v for v in values if v is not NO_VALUE))
    if not found:
        return "-"
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,}-{found[-1]:,}"


def verdict(values, target):
    found = [v for v in values if v is not NO_VALUE]
    if not found or not target:
        return ""
    return "met" if max(found) <= target else f"{max(found) / target:.1f} x"


def table(figures, runs):
    """Lines of the table: operation, measured, target, verdict, the others' columns."""
    head = ("operation", "Skerry", "target", "", "Linux 6.1", "Barrelfish", "published")
    rows = [head]
    for f in figures:
        values = [run.get(f["id"], NO_VALUE) for run in runs]
        target = f.get("target")
        rows.append((f["title"], cell(values), f"<= {target:,}" if target else "",
                     verdict(values, target), f.get("linux", ""), f.get("barrelfish", ""),
                     f.get("published", "")))  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    for row in rows:
        left, right = row[0].ljust(widths[0]), [row[i].rjust(widths[i]) for i in (1, 2, 3, 4, 5)]
        yield "  ".join([left, *right, row[6]]).rstrip()


def main(ids):
    figures = load_figures()
    if unknown := set(ids) - {f["id"] for f in figures}:
        sys.exit(f"counts: no such figure: {', '.join(sorted(unknown))}")
    figures = [f for f in figures if not ids or f["id"] in ids]
    write_symbols(FOLDER)
    runs = [measure(figures) for _ in range(int(os.environ.get("REPEAT") or 1))]
    known = {f["id"] for f in figures}
    others = sorted({name for run in runs for name in run} - known) if not ids else []
    figures += [{"id": name, "title": f"({name})", "how": "bench"} for name in others]
    print("\n".join(table(figures, runs)))
    print("Instructions on all cores; each turn of a REP counts; polling budget 0.")


if __name__ == "__main__":
    os.chdir(ROOT)
    main(sys.argv[1:])
