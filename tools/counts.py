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
import counts_table  # noqa: E402
import settings  # noqa: E402
from guest import BUILD, ROOT, GuestError, Skerry, wait_readable  # noqa: E402

WARM, OPERATIONS = 50, 200
SAMPLES, SAMPLE_BEGIN, SAMPLE_END = 100, 16, 17
SENT = 12  # marker of a service: one more operation is complete
PROMPT = r"^skerry> ?"
CLOCK_SLACK = 4
HARNESS = "empty"  # the figure of nothing
FOLDER = os.path.join(BUILD, "counts")


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
    mean: int | None = None
    worst: int | None = None
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


SLEEPS = "_ZN2os6Waiter4waitE"  # each domain's loop goes there when it has nothing to do


def write_symbols(folder):
    """Symbols of all programs for the profile; where their code only polls; where it sleeps."""
    os.makedirs(folder, exist_ok=True)
    symbols, polling, sleeping = [], [], []
    for path in sorted(glob(f"{BUILD}/bin/*.elf")):
        text = subprocess.run(["llvm-nm-19", path], capture_output=True, text=True).stdout
        symbols.append(text)
        ends = dict((n, a) for a, _, n in re.findall(r"^(\S+) (\S) (text_poll_\w+)$", text, re.M))
        if ends.get("text_poll_begin") != ends.get("text_poll_end"):
            polling.append(f"{ends['text_poll_begin']} {ends['text_poll_end']}\n")
        sleeping += [f"{a}\n" for a in re.findall(rf"^(\S+) \S {SLEEPS}", text, re.M)]
    with open(f"{folder}/symbols", "w") as f:
        f.writelines(symbols)
    with open(f"{folder}/polling", "w") as f:
        f.writelines(polling)
    with open(f"{folder}/wakes", "w") as f:
        f.writelines(sleeping)


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
        for complaint in complaints(guest.text):
            print(complaint, file=sys.stderr)
        return guest.text, count_output.read(out)


def run_bench(samples=SAMPLES):
    """Everything that usr/bench measures on one core."""
    serial, output = boot_bench("bench", f"bench:10:{samples}")
    counts = bench_counts(serial, output)
    for complaint in disagreements(serial, counts):
        print(complaint, file=sys.stderr)
    return counts


def run_remote():
    """What takes two cores: the plugin adds up both."""
    return bench_counts(*boot_bench("remote", f"bench.channel_call_remote:10:{SAMPLES}", cores=2))


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
    words = ["llvm-cxxfilt-19", "-p", symbol]
    return subprocess.run(words, capture_output=True, text=True).stdout.strip()


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


def boot_spawned(name, line, done, cores, **settings):
    """The serial line and the plugin's output of a guest in which one domain is spawned."""
    out = os.path.join(FOLDER, f"{name}.txt")
    settings |= {"CORES": cores, "NIC": "none", "POLL": 0, "QEMU_ARGS": plugin_arguments(out)}
    with Skerry(f"counts-{name}", **settings) as guest:
        guest.wait_for(rf"cores {cores} of {cores} are up", 300)
        guest.wait_for(r"Type help", 120)
        guest.send(f"spawn {line}")
        guest.wait_for(done, 300)
        guest.qmp("quit")
        guest.wait()
        return guest.text, count_output.read(out)


def run_span(cores):
    """Unmap of one page that all cores of a domain have written to, from call to answer."""
    line = f"parallel on 0 {cores}"
    _, output = boot_spawned(f"span-{cores}", line, r"parallel done: right", cores)
    return figure_of(output.between(SAMPLE_BEGIN, SAMPLE_END))


def run_lent(borrowers):
    """Revoke of a frame that so many other cores have borrowed, in instructions of all cores."""
    name = f"lent-{borrowers}"
    serial, output = boot_bench(name, "bench.lent_revoke:3:20", cores=borrowers + 1)
    found = bench_counts(serial, output)
    if "lent_revoke" not in found:
        raise GuestError(f"lent_revoke to {borrowers} cores was not measured")
    figure = found["lent_revoke"]
    said = re.search(rf"lent_revoke to {borrowers} cores: (\d+) messages", serial)
    if not said:
        raise GuestError(f"the guest does not say how many messages go to {borrowers} cores")
    figure.note = f"{said[1]} messages, {figure.median // borrowers:,} a core"
    return figure


def group_rows(text):
    """{(operation, shape, cores): (messages, cycles, longest way)} of what tests/model has said."""
    labels = r"row operation=(\w+) shape=(\w+) members=(\d+) samples=\d+"
    rows = re.findall(rf"{labels}: messages=(\d+) cycles=(\d+) longest=(\d+)\s*$", text, re.M)
    return {(op, shape, int(n)): tuple(map(int, rest)) for op, shape, n, *rest in rows}


def run_groups(cores, samples=5):
    """Operations of groups on 2, 4 .. `cores`: {ID: Figure}, without the turns of polling."""
    line, image = f"machine on 0 {cores} 1 {samples} 0", os.path.join(BUILD, "skerry-more.iso")
    serial, output = boot_spawned("groups", line, r"machine done", cores, ISO=image)
    rows = group_rows(serial)
    # Before them are those of the checks that `make exp` holds such a domain to.
    passed = output.between(SAMPLE_BEGIN, SAMPLE_END)[-samples * len(rows) :]
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


# how: (what measures one figure, the key whose value it takes)
ONE_BY_ONE = {"span": (run_span, "cores"), "lent": (run_lent, "cores")}
ONE_BY_ONE["host"] = (run_host, "service")


def measured(figures):
    """Yields {id: Figure} from each run that these figures need."""
    ids, how = {f["id"] for f in figures}, {f["how"] for f in figures}
    if how & {"bench", "remote"}:  # some of the latter are differences to the former
        yield from attempt("bench", run_bench)
    if "remote" in how:
        yield from attempt("remote", run_remote)
    for figure in figures:
        if figure["how"] in ONE_BY_ONE:
            run, setting = ONE_BY_ONE[figure["how"]]
            name, value = figure["id"], figure[setting]
            yield from attempt(name, lambda n=name, r=run, v=value: {n: r(v)})
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
    except (GuestError, OSError, ValueError, subprocess.TimeoutExpired) as e:
        print(f"{name}: {(str(e) or type(e).__name__).splitlines()[0]}", file=sys.stderr)


def measure(figures):
    """{id: Figure} of the figures; what cannot be measured is left out."""
    found = {}
    for more in measured(figures):
        found.update(more)
    derive(found)
    return found


def lacking(figures, runs):
    """Ids of figures that a run has not measured though it should have."""
    wanted = [f["id"] for f in figures if f["how"] != "elsewhere"]
    return [name for name in wanted if any(name not in run for run in runs)]


def show(ids):
    """Prints the table; the ids that could not be measured."""
    figures = load_figures()
    if unknown := set(ids) - {f["id"] for f in figures}:
        sys.exit(f"counts: no such figure: {', '.join(sorted(unknown))}")
    figures = [f for f in figures if not ids or f["id"] in ids]
    try:
        values = settings.gather([], os.environ, settings.COUNTS, settings.ALL)
        repeats = settings.number(values, "REPEAT", 1, 1000)
    except settings.SettingError as e:
        sys.exit(f"counts: {e}")
    write_symbols(FOLDER)
    runs = [measure(figures) for _ in range(repeats)]
    known = {f["id"] for f in figures}
    others = sorted({name for run in runs for name in run} - known) if not ids else []
    more = [{"id": name, "title": f"({name})"} for name in others]
    print("\n".join(counts_table.table(figures + more, runs)))
    print("Instructions on all cores, medians; each turn of a REP counts; polling budget 0.")
    print("Figures driven by the host vary by a few; time to the prompt is this machine's.")
    return lacking(figures, runs)


def main(arguments):
    if arguments[:1] == ["profile"] and len(arguments) == 2:
        profile(arguments[1])
    elif missing := show(arguments):
        sys.exit(f"counts: not measured: {', '.join(missing)}")


if __name__ == "__main__":
    os.chdir(ROOT)
    main(sys.argv[1:])
