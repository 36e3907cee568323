#!/usr/bin/python3
"""`make counts`: what each operation costs, beside its target and other systems' figures.

Rows come from tools/targets.toml; docs/counts.md says how each is measured. The guest's own
benchmarks (usr/bench) run without any input from outside under `-icount shift=0`, so their figures
are the same in every run; the network's are driven from the host, one operation at a time, and are
medians. REPEAT=2 measures twice and shows a range where runs differ. Ids on the command line choose
rows; `counts.py profile ID` shows in which functions one of them spends its instructions.
"""
import http.client
import os
import re
import socket
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from glob import glob

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check_image  # noqa: E402
import count_output  # noqa: E402
from guest import BUILD, ROOT, GuestError, Skerry, wait_readable  # noqa: E402

WARM, OPERATIONS = 50, 200
SAMPLES, SAMPLE_BEGIN, SAMPLE_END = 100, 16, 17
SENT = 12  # marker of a service: one more operation is complete
PROMPT = r"^skerry> ?"
CLOCK_SLACK = 4
HARNESS = "empty"  # the figure of nothing
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


@dataclass
class Figure:
    """Instructions of one operation on all cores, as the plugin counted them."""

    median: int
    mean: int = NO_VALUE
    worst: int = NO_VALUE
    repeats: int = 0  # turns of REP in the median
    fences: int = 0  # in the median, atomic read-modify-writes among them
    ipis: int = 0
    note: str = ""  # what else was seen, behind the title


def figure_of(samples, harness=0):
    """The median of all samples, with the turns of REP that it contains."""
    samples = sorted(samples, key=lambda c: c.instructions)
    middle, all_of = samples[len(samples) // 2], [c.instructions - harness for c in samples]
    return Figure(middle.instructions - harness, round(sum(all_of) / len(all_of)), all_of[-1],
                  middle.repeats, middle.fences, middle.ipis)  # fmt: skip


def bench_counts(serial, output):
    """{id: Figure} of what usr/bench has measured.

    Each sample stands between markers 16 and 17, and figures come in the order in which the guest
    lists them. The first is `empty`, the harness's own part. The guest's clock would count idle
    time as well.
    """
    figures, passed = sampled(serial), output.between(SAMPLE_BEGIN, SAMPLE_END)
    if sum(f.samples for f in figures) != len(passed):
        raise GuestError(f"counts: {len(passed)} samples seen, but the guest lists "
                         f"{sum(f.samples for f in figures)}")  # fmt: skip
    counts, start, harness = {}, 0, 0
    for figure in figures:
        counts[figure.id] = figure_of(passed[start : start + figure.samples], harness)
        start += figure.samples
        if figure.id == HARNESS:
            harness = counts.pop(HARNESS).median
    return counts


def derive(counts):
    """Adds figures that are differences of others (docs/counts.md)."""

    def difference(name, minuend, subtrahend, halve_first):
        if minuend in counts and subtrahend in counts:
            a, b = counts[minuend].median, counts[subtrahend].median
            counts[name] = Figure(a // 2 - b if halve_first else (a - b) // 2)

    difference("space_switch", "yield_pair", "yield_alone", True)
    difference("wake_other_core", "channel_call_remote", "stub_call", False)


def disagreements(serial, counts):
    """Sentences on figures for which the guest's clock and the plugin say different things.

    On one core where nothing sleeps both count the same instructions, but for the few that move
    across the reading of the clock.
    """
    pairs = [(f.id, f.median, counts[f.id].median) for f in sampled(serial) if f.id != HARNESS]
    return [f"{name}: {clock} by the clock, {plugin} by the plugin"
            for name, clock, plugin in pairs if abs(clock - plugin) > CLOCK_SLACK]  # fmt: skip


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


def boot_bench(name, order, cores=1, options=""):
    """The serial line and the plugin's output of a guest that measures itself, as ordered."""
    out = os.path.join(FOLDER, f"{name}.txt")
    os.makedirs(FOLDER, exist_ok=True)
    if os.path.exists(out):
        os.remove(out)
    settings = {"CORES": cores, "NIC": "none", "POLL": 0, "COUNT": order}
    settings["QEMU_ARGS"] = f"-icount shift=0,sleep=off {plugin_arguments(out)}{options}"
    with Skerry(f"counts-{name}", **settings) as guest:
        # What is said in between is waited for by the last line alone.
        guest.wait_for(r"\bbench (done|cannot)\b", 600)
        guest.qmp("quit")
        guest.wait()
        return guest.text, count_output.read(out)


def run_bench(samples=SAMPLES):
    """Everything that usr/bench measures on one core."""
    serial, output = boot_bench("bench", f"bench:10:{samples}")
    counts = bench_counts(serial, output)
    for complaint in complaints(serial) + disagreements(serial, counts):
        print(complaint, file=sys.stderr)
    return counts


def run_remote():
    """What takes two cores: the plugin adds up both."""
    serial, output = boot_bench("remote", f"bench.channel_call_remote:10:{SAMPLES}", cores=2)
    for complaint in complaints(serial):
        print(complaint, file=sys.stderr)
    return bench_counts(serial, output)


def profile(name, samples=SAMPLES):
    """Prints where figure `name` spends its instructions."""
    write_symbols(FOLDER)
    serial, output = boot_bench("profile", f"bench.{name}:10:{samples}")
    found = {f.id: f for f in sampled(serial)}
    if name not in found:
        sys.exit(f"counts: usr/bench does not know {name}")
    print(f"{name}: {bench_counts(serial, output)[name].median} instructions, of them:")
    for instructions, symbol in output.profile:
        if instructions >= found[name].samples:
            print(f"{instructions / found[name].samples:9.1f}  {demangled(symbol)}")


def demangled(symbol):
    return subprocess.run(
        ["llvm-cxxfilt-19", "-p", symbol], capture_output=True, text=True
    ).stdout.strip()


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
    """A service's operation, while the host asks for one at a time: from one end to the next."""
    out = os.path.join(FOLDER, f"{service}.txt")
    settings = {"CORES": 4, "POLL": 0, "FORWARD": "udp:7,tcp:7", "IP": "10.0.2.15/24"}
    settings["COUNT"] = f"{service}:{WARM}:{OPERATIONS}"
    settings["QEMU_ARGS"] = plugin_arguments(out)
    with Skerry(f"counts-{service}", **settings) as guest:
        guest.wait_for(PROMPT, 60)
        DRIVERS[service](guest, WARM + OPERATIONS + 2)
        guest.qmp("quit")
        guest.wait()
    samples = count_output.read(out).each(SENT)
    if len(samples) < OPERATIONS - 1:
        raise GuestError(f"{len(samples) + 1} operations were marked instead of {OPERATIONS}")
    return figure_of(samples)


def run_span(cores):
    """Unmap of one page that all cores of a domain have written to, from call to answer."""
    out = os.path.join(FOLDER, f"span-{cores}.txt")
    settings = {"CORES": cores, "NIC": "none", "POLL": 0, "QEMU_ARGS": plugin_arguments(out)}
    with Skerry(f"counts-span-{cores}", **settings) as guest:
        guest.wait_for(rf"cores {cores} of {cores} are up", 120)
        guest.wait_for(r"Type help", 120)
        guest.send(f"spawn parallel on 0 {cores}")
        guest.wait_for(r"parallel done: right", 120)
        guest.qmp("quit")
        guest.wait()
    return figure_of(count_output.read(out).between(SAMPLE_BEGIN, SAMPLE_END))


def run_lent(borrowers):
    """Revoke of a frame that so many other cores have borrowed, in instructions of all cores."""
    name = f"lent-{borrowers}"
    serial, output = boot_bench(name, "bench.lent_revoke:3:20", cores=borrowers + 1)
    for complaint in complaints(serial):
        print(complaint, file=sys.stderr)
    found = bench_counts(serial, output)
    if "lent_revoke" not in found:
        raise GuestError(f"lent_revoke to {borrowers} cores was not measured")
    figure = found["lent_revoke"]
    messages = re.search(rf"lent_revoke to {borrowers} cores: (\d+) messages", serial)[1]
    figure.note = f"{messages} messages, {figure.median // borrowers:,} a core"
    return figure


def group_rows(text):
    """{(operation, shape, cores): (messages, cycles, longest way)} of what tests/model has said."""
    labels = r"row operation=(\w+) shape=(\w+) members=(\d+) samples=\d+"
    rows = re.findall(rf"{labels}: messages=(\d+) cycles=(\d+) longest=(\d+)\s*$", text, re.M)
    return {(op, shape, int(n)): tuple(map(int, rest)) for op, shape, n, *rest in rows}


def run_groups(cores, samples=5):
    """Operations of groups on 2, 4 .. `cores`: {ID: Figure}, without the turns of polling."""
    out = os.path.join(FOLDER, "groups.txt")
    image = os.path.join(BUILD, "skerry-more.iso")
    settings = {"CORES": cores, "NIC": "none", "POLL": 0, "ISO": image}
    with Skerry("counts-groups", **settings, QEMU_ARGS=plugin_arguments(out)) as guest:
        guest.wait_for(rf"cores {cores} of {cores} are up", 300)
        guest.wait_for(r"Type help", 60)
        guest.send(f"spawn machine on 0 {cores} 1 {samples} 0")
        guest.wait_for(r"machine done", 300)
        guest.qmp("quit")
        guest.wait()
        rows = group_rows(guest.text)
    # Before them are those of the checks that `make exp` holds such a domain to.
    passed = count_output.read(out).between(SAMPLE_BEGIN, SAMPLE_END)[-samples * len(rows) :]
    if len(passed) != samples * len(rows):
        raise GuestError(f"{len(passed)} samples seen, {samples * len(rows)} expected")
    found = {}
    for i, ((operation, shape, n), (messages, _, longest)) in enumerate(rows.items()):
        each = passed[i * samples : (i + 1) * samples]
        middle = sorted(each, key=lambda c: c.instructions - c.polling)[samples // 2]
        note = f"{messages} message{'s' * (messages > 1)}, {longest} in a row"
        found[f"{operation}_{n}_{shape}"] = Figure(
            middle.instructions - middle.polling, repeats=middle.repeats, fences=middle.fences,
            ipis=middle.ipis, note=note)  # fmt: skip
    return found


def run_start():
    """Milliseconds of the host's clock from QEMU's start to the prompt."""
    with Skerry("counts-start", CORES=4) as guest:
        guest.wait_for(PROMPT, 120)
        return Figure(round((time.monotonic() - guest.started) * 1000))


def measured(figures):
    """Yields {id: Figure} from each run that these figures need."""
    ids, how = {f["id"] for f in figures}, {f["how"] for f in figures}
    if how & {"bench", "remote"}:  # some of the latter are differences to the former
        yield from attempt("bench", run_bench)
    if "remote" in how:
        yield from attempt("remote", run_remote)
    for figure in figures:
        if figure["how"] == "host":
            name, service = figure["id"], figure["service"]
            yield from attempt(name, lambda s=service, n=name: {n: run_host(s)})
    for figure in figures:
        if figure["how"] == "span":
            name, cores = figure["id"], figure["cores"]
            yield from attempt(name, lambda c=cores, n=name: {n: run_span(c)})
        if figure["how"] == "lent":
            name, cores = figure["id"], figure["cores"]
            yield from attempt(name, lambda c=cores, n=name: {n: run_lent(c)})
    if groups := [f for f in figures if f["how"] == "group"]:
        cores = max(f["cores"] for f in groups)
        for found in attempt("groups", lambda: run_groups(cores)):
            yield {name: figure for name, figure in found.items() if name in ids}
    if "image_bytes" in ids:
        yield {"image_bytes": Figure(check_image.image_bytes(BUILD))}
    if "start_ms" in ids:
        yield from attempt("start_ms", lambda: {"start_ms": run_start()})


def attempt(name, run):
    """What cannot be measured is told, and the rest goes on."""
    try:
        yield run()
    except (GuestError, OSError) as e:
        print(f"{name}: {str(e).splitlines()[0]}", file=sys.stderr)


def measure(figures):
    """{id: Figure} of the figures; what cannot be measured is left out."""
    found = {}
    for more in measured(figures):
        found.update(more)
    derive(found)
    return found


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


def row(figure, runs):
    """One line of the table, as cells."""
    values = [run[figure["id"]] for run in runs if figure["id"] in run]
    # Zeroing is a figure of its own.
    zeroing = figure.get("zeroed_bytes", 0) // 8
    medians, target = [v.median - zeroing for v in values], figure.get("target")
    mine = figure["when"] if "when" in figure else cell(medians)
    worst = cell([v.worst - zeroing for v in values if v.worst is not NO_VALUE])
    repeats = max([v.repeats for v in values], default=0) - zeroing
    fences = max([v.fences for v in values], default=0)
    ipis = max([v.ipis for v in values], default=0)
    notes = ", ".join(dict.fromkeys(v.note for v in values if v.note))
    title = f"{figure['title']}: {notes}" if notes else figure["title"]
    return (title, mine, f"<= {target:,}" if target else "", verdict(medians, target),
            worst if worst != "-" else "", f"{repeats:,}" if repeats > 0 else "",
            str(fences or ""), str(ipis or ""), figure.get("linux", ""),
            figure.get("barrelfish", ""), figure.get("published", ""))  # fmt: skip


def table(figures, runs):
    """Lines of the table: operation, measured, target, verdict, what is in it, the others."""
    head = ("operation", "Skerry", "target", "", "worst", "in REP", "fences", "IPIs", "Linux 6.1",
            "Barrelfish", "published")  # fmt: skip
    rows = [head, *(row(f, runs) for f in figures)]
    widths = [max(len(cells[i]) for cells in rows) for i in range(len(head))]
    for cells in rows:
        numbers = [cells[i].rjust(widths[i]) for i in range(1, len(head) - 1)]
        yield "  ".join([cells[0].ljust(widths[0]), *numbers, cells[-1]]).rstrip()


def show(ids):
    figures = load_figures()
    if unknown := set(ids) - {f["id"] for f in figures}:
        sys.exit(f"counts: no such figure: {', '.join(sorted(unknown))}")
    figures = [f for f in figures if not ids or f["id"] in ids]
    write_symbols(FOLDER)
    runs = [measure(figures) for _ in range(int(os.environ.get("REPEAT") or 1))]
    known = {f["id"] for f in figures}
    others = sorted({name for run in runs for name in run} - known) if not ids else []
    figures += [{"id": name, "title": f"({name})"} for name in others]
    print("\n".join(table(figures, runs)))
    print("Instructions on all cores, medians; each turn of a REP counts; polling budget 0.")
    print("Figures driven by the host vary by a few; time to the prompt is this machine's.")


def main(arguments):
    if arguments[:1] == ["profile"] and len(arguments) == 2:
        profile(arguments[1])
    else:
        show(arguments)


if __name__ == "__main__":
    os.chdir(ROOT)
    main(sys.argv[1:])
