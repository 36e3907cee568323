"""One boot and the points measured in it.

`points` of a job share a guest: it boots, runs the experiment's domain once a point, and ends. A
point that fails ends the guest, since nobody knows what state it is in; the rest boots again.
"""
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "../vs_linux")]
import count_output  # noqa: E402
import flows  # noqa: E402
import linux  # noqa: E402
import reading  # noqa: E402
from experiment import ExperimentError  # noqa: E402
from machines import Machine  # noqa: E402
from reading import PointError  # noqa: E402

from guest import BUILD, GuestError, Skerry  # noqa: E402

BOOT_SECONDS, TRIES, WATCHDOG_US = 300, 4, 400_000
PROMPT, UP = r"Type help", r"cores (\d+) of (\d+) are up"
FOLDER = os.path.join(BUILD, "exp")
IMAGE = os.path.join(BUILD, "skerry-more.iso")
LINUX_FILES = linux.KERNEL, linux.INITRAMFS


@dataclass
class Job:
    """Points of one experiment and mode that one guest can measure."""

    experiment: object
    mode: str
    points: list
    seed: int = 1
    number: int = 0  # among the jobs of this run

    @property
    def name(self):
        return f"exp-{self.experiment.name}-{self.mode}-{self.number}"

    def settings(self):
        """Of tools/run.py."""
        domain, first = self.experiment.domain, self.points[0]
        found = {"CORES": self.experiment.cores_of(self.mode, first), "NIC": "none", "POLL": 0,
                 "MEM": domain["memory"], "SEED": self.seed, "SUSPECT": 0}  # fmt: skip
        if domain["start"] == "linux":
            found["ORDER"] = f"{domain['name']} {self.experiment.arguments_of(first)}"
        if domain["start"] == "setting":
            found["COUNT"] = f"{domain['name']}{self.experiment.arguments_of(first)}"
        found["QEMU_ARGS"] = self.plugin(first, domain["memory"])
        return found | self.experiment.settings_of(first) | {"ISO": IMAGE}

    def plugin(self, point, memory):
        out = self.out()
        size = int(memory[:-1]) * (1024 if memory[-1] == "G" else 1)
        if self.mode == "time":
            return "-accel kvm"
        if self.mode == "count":
            return f"-icount shift=0,sleep=off {self.counting(size)}"
        options = Machine(point["machine"]).options()
        options += f",mem_mb={size},wdog_us={WATCHDOG_US}"
        if flows.wanted(self.experiment.measures["model"]):
            options += f",flow={flows.FIRST:#x}"
        return f"-plugin {BUILD}/plugin/coherence.so,out={out},{options}"

    def counting(self, mem_mb):
        options = f"out={self.out()},poll={FOLDER}/polling"
        measures = self.experiment.measures[self.mode]
        if "wakes" in measures:
            options += f",wakes={FOLDER}/wakes"
        if "messages" in measures:
            options += f",lines={mem_mb}"
        if "without" in self.experiment.domain:
            options += f",without={self.experiment.domain['without']}"
        return f"-plugin {BUILD}/plugin/insncount.so,{options}"

    def out(self):
        return os.path.join(FOLDER, f"{self.name}.out")


class LinuxGuest(linux.Linux):
    """The neighbour (tools/vs_linux), as a guest of experiments: one point a boot."""

    position = 0

    def __init__(self, name, CORES, MEM, ORDER, QEMU_ARGS, **_):
        super().__init__(ORDER, QEMU_ARGS, CORES=CORES, MEM=MEM, NIC="none", CPU="max,-erms")

    def expect(self, pattern, timeout):
        return self.wait_for(pattern, timeout)

    def qmp(self, _):
        pass  # it switches itself off

    def wait(self):
        self.process.wait(60)


class Captured:
    """A machine that is not QEMU: what its serial line has said is in the file CONSOLE=."""

    ended = True

    def __init__(self, name, **settings):
        with open(os.environ["CONSOLE"], errors="replace") as f:
            self.text, self.position = f.read().replace("\r", ""), 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def expect(self, pattern, timeout):
        found = re.compile(pattern, re.M).search(self.text, self.position)
        if not found:
            raise GuestError(f"no /{pattern}/ in {os.environ['CONSOLE']}")
        return found

    wait_for = expect

    def qmp(self, _):
        pass

    def wait(self):
        pass


def clock_of_time(experiments):
    """Who is asked for times, or an ExperimentError: a clock that means nothing is no clock."""
    if path := os.environ.get("CONSOLE"):
        if not os.path.isfile(path):
            raise ExperimentError(f"CONSOLE={path}: no such file")
        if any(e.domain["start"] != "setting" for e in experiments):
            raise ExperimentError("CONSOLE=: only what starts by the setting count= is captured")
        return Captured
    import doctor

    if doctor.kvm_runs():
        return Skerry
    raise ExperimentError("MODE=time needs a clock that means something: KVM runs no guest here, "
                          "and CONSOLE= names no capture of a machine's serial line")  # fmt: skip


@dataclass
class Outcome:
    point: dict
    rows: list = field(default_factory=list)
    why: str = ""  # it failed
    console: str = ""
    discarded: int = 0  # runs in which the order of clocks was not kept
    seconds: float = 0
    text: str = ""  # what the guest said of it


class Session:
    """A booted guest; a failure is a PointError."""

    def __init__(self, job, guest):
        self.job, self.guest, self.records, self.slips = job, guest, 0, 0

    def boot(self):
        if self.job.experiment.domain["start"] != "spawn":
            return
        cores = self.job.settings()["CORES"]
        self.guest.wait_for(PROMPT, BOOT_SECONDS)
        if cores > 1 and (up := int(self.guest.wait_for(UP, BOOT_SECONDS)[1])) != cores:
            raise GuestError(f"only {up} of {cores} cores came up: the host is too busy")

    def spawn(self, point):
        """What the guest says from the start of the domain until it has ended."""
        domain, guest = self.job.experiment.domain, self.guest
        name, begin = domain["name"], 0
        done = rf"\b{name} done\b" if domain["start"] == "setting" else r"^linux done$"
        if domain["start"] == "spawn":
            begin = guest.position = len(guest.text)
            arguments = self.job.experiment.arguments_of(point)
            guest.send(f"spawn {name} on {domain['place']} {arguments}")
            # It says that it is done before it ends; the next one must not find its end.
            done = rf"domain {name} ended with code 0\s*$"
        bad = rf"domain {name} (on core \d+ faulted.*|ended with code [1-9].*)$"
        bad += rf"|domain {name} says: .*$|{name}\]? cannot .*$|CPU driver panic.*$"
        try:
            found = guest.expect(f"(?P<done>{done})|(?P<bad>{bad})\n", domain["seconds"])
        except GuestError:
            limit = "before the guest ended" if guest.ended else f"within {domain['seconds']} s"
            raise PointError(f"{name} did not come to its end {limit}") from None
        if found["bad"]:
            raise PointError(f"the guest says: {found['bad'].strip()}")
        return guest.text[begin : found.end() if domain["start"] == "spawn" else None]

    def new_records(self):
        """What the model has written since the last call."""
        with open(self.job.out()) as f:
            lines = f.read().splitlines()
        found, self.records = lines[self.records :], len(lines)
        return [json.loads(line) for line in found]

    def new_slips(self, records):
        """The model counts them from the start of QEMU."""
        if not any("slip" in r for r in records):
            raise PointError("the model has no record of this point")
        before, self.slips = self.slips, max(r["slip"] for r in records if "slip" in r)
        return self.slips - before

    def model(self, point, outcome):
        """Repeats a point whose run had slips: it is not what the model says."""
        for _ in range(TRIES):
            rows, records = reading.rows_of(self.spawn(point)), self.new_records()
            if not self.new_slips(records):
                reading.regions(rows, records)
                flows.stages(rows, records)
                outcome.rows = self.checked(rows, point)
                return
            outcome.discarded += 1
        raise PointError(f"the order of clocks was not kept in {TRIES} runs: a loaded host")

    def time(self, point, outcome):
        rows = reading.times(self.spawn(point), point, self.job.seed)
        outcome.rows = reading.results(rows, self.job.experiment, "time", point)

    def checked(self, rows, point):
        e, mode = self.job.experiment, self.job.mode
        return reading.results(reading.judge(rows, mode, e.sanity), e, mode, point)


def first_sentence(error):
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def take(session, point):
    """One point; of a failed one the guest is of no more use."""
    outcome, started = Outcome(point), time.monotonic()
    try:
        if session.job.mode == "model":
            session.model(point, outcome)
        elif session.job.mode == "time":
            session.time(point, outcome)
        else:
            outcome.text = session.spawn(point)
    except (PointError, GuestError, OSError, ValueError) as e:
        fail(outcome, e, session.guest.text)
    outcome.seconds = round(time.monotonic() - started, 2)
    return outcome


def fail(outcome, error, console):
    outcome.why, outcome.console = first_sentence(error), console


def take_all(session, report):
    """Outcomes that wait for the counting plugin, which writes when QEMU ends."""
    waiting = []
    for point in session.job.points:
        outcome = take(session, point)
        if outcome.why or outcome.rows:
            report(outcome)
        else:
            waiting.append(outcome)
        if outcome.why:
            break
    return waiting


def finish_counts(session, waiting, report):
    """Samples come in the order of the points."""
    passed = count_output.read(session.job.out()).between(reading.BEGIN, reading.END)
    for outcome in waiting:
        try:
            rows = reading.rows_of(outcome.text)
            size = sum(row.samples for row in rows)
            reading.count(rows, passed[:size])
            passed = passed[size:]
            outcome.rows = session.checked(rows, outcome.point)
        except (PointError, ValueError) as e:
            fail(outcome, e, outcome.text)
        report(outcome)


def run(job, report, guest_class=Skerry):
    """Calls report(Outcome) once for each point that was tried. A guest that does not boot fails
    all of them, and so does what goes wrong with QEMU or its plugin afterwards."""
    if job.experiment.domain["start"] == "linux" and guest_class is Skerry:
        guest_class = LinuxGuest
    if os.path.exists(job.out()):
        os.remove(job.out())
    session, left = None, list(job.points)

    def tell(outcome):
        left.remove(outcome.point)
        report(outcome)

    try:
        with guest_class(job.name, **job.settings()) as guest:
            session = Session(job, guest)
            session.boot()
            waiting = take_all(session, tell)
            guest.qmp("quit")
            guest.wait()
        if waiting:
            finish_counts(session, waiting, tell)
    except (GuestError, OSError, ValueError, subprocess.TimeoutExpired) as e:
        for point in list(left):
            outcome = Outcome(point)
            fail(outcome, e, session.guest.text if session else str(e))
            tell(outcome)


def write_places():
    """Where programs only poll, and where they go to sleep (tools/count), for the plugin."""
    import counts

    os.makedirs(FOLDER, exist_ok=True)
    counts.write_symbols(FOLDER)


