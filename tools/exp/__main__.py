"""`make exp NAME=...`: runs experiments, keeps their rows, draws them (docs/experiments).

    tools/exp [--quick] [NAME...]      all experiments of usr/bench when none is named
    tools/exp --points [NAME...]       only lists them: experiment and key of each point
    tools/exp --only=KEY NAME          only measures that one (Snakefile)

The environment's MODE chooses a mode: count, model or time; without it all but the last, which
needs KVM that works, or CONSOLE=FILE: what the serial line of a real machine has said.

Files come into BUILD/exp/NAME, and BUILD/exp/report.html shows all of the run. The exit status is 1
when a point has failed or plots could not be drawn, 2 when an experiment file, an option or the
seed is wrong.
"""
import os
import shutil
import sys
import time
from glob import glob

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), p) for p in (".", "..")]
import guests  # noqa: E402
import plots  # noqa: E402
import progress  # noqa: E402
import provenance  # noqa: E402
import report  # noqa: E402
import results  # noqa: E402
from engine import Engine, Store, plan  # noqa: E402
from experiment import MODES, ExperimentError, load  # noqa: E402

from guest import ROOT, GuestError  # noqa: E402

FILES = os.path.join(ROOT, "usr/bench")
EXACT = ("count", "model")  # what runs when no mode is named


def paths_of(names):
    """Files of the named experiments, or of all."""
    known = {os.path.splitext(os.path.basename(p))[0]: p for p in glob(f"{FILES}/*.toml")}
    for name in names:
        if name not in known and not os.path.isfile(name):
            raise ExperimentError(f"no experiment {name!r}; there are {', '.join(sorted(known))}")
    return [known.get(name, name) for name in names] or [known[name] for name in sorted(known)]


def folder_of(experiment):
    return os.path.join(guests.FOLDER, experiment.name)


def modes_of(text):
    if text not in ("", *MODES):
        raise ExperimentError(f"MODE={text}: must be one of {', '.join(MODES)}")
    return (text,) if text else EXACT


def plan_all(experiments, quick, seed, modes=EXACT):
    """(tree's provenance, {name: tasks})."""
    sources = os.environ.get("EXP_TREE") or ROOT  # of another revision (diff.py)
    tree = provenance.of_tree(sources)
    return tree, {e.name: plan(e, quick, seed, tree, ROOT, modes) for e in experiments}


def measure(experiments, tasks, seed, guest_class=guests.Skerry, cpus=None):
    """The engine; prints as it goes."""
    stores = {e.name: Store(folder_of(e)) for e in experiments}
    every = [t for part in tasks.values() for t in part]
    with progress.Progress(len(every)) as shown:
        engine = Engine(stores, seed, shown.point, guest_class, cpus)
        engine.run(every)
    return engine


def measure_one(experiments, tasks, seed, key, guest_class=guests.Skerry):
    """What a workflow asks for: one point, kept for whoever publishes; the exit status."""
    chosen = {name: [t for t in part if t.key == key] for name, part in tasks.items()}
    found = [t for part in chosen.values() for t in part]
    if not found:
        print(f"exp: no point {key}: has the tree changed since they were listed?", file=sys.stderr)
        return 2
    cpus = sorted(os.sched_getaffinity(0))[:2]
    measure(experiments, chosen, seed, guest_class, [cpus[int(key, 16) % len(cpus)]])
    return 1 if found[0].why else 0


def publish(experiments, tree, engine, tasks):
    """Writes all files; the number of points that failed."""
    parts, failures = [], 0
    for e in experiments:
        folder, mine = folder_of(e), tasks[e.name]
        rows = results.write(folder, mine)
        results.write_volatile(folder, engine, mine)
        failed = [t for t in mine if t.why]
        failures += len(failed)
        parts.append((e, rows, plots.draw_all(folder, e, rows, tree), failed))
    report.write(os.path.join(guests.FOLDER, "report.html"), guests.FOLDER, tree, parts)
    return failures


def ready(names):
    """The experiments; an ExperimentError where one is wrong or there is no image."""
    experiments = [load(path) for path in paths_of(names)]
    if not os.path.exists(guests.IMAGE):
        raise ExperimentError(f"{guests.IMAGE} does not exist; `make exp` builds it")
    return experiments


def seed_of(text):
    if not text.isdecimal():
        raise ExperimentError(f"SEED={text}: must be a number")
    return int(text)


def run(arguments, guest_class=guests.Skerry):
    options = [a for a in arguments if a.startswith("--")]
    started = time.monotonic()
    try:
        seed = seed_of(os.environ.get("SEED") or "1")
        for option in options:
            if option not in ("--quick", "--points") and not option.startswith("--only="):
                there = "--quick, --points, --only=KEY"
                raise ExperimentError(f"no option {option}; there are {there}")
        modes = modes_of(os.environ.get("MODE") or "")
        names = [a for a in arguments if a not in options]
        experiments = [e for e in ready(names) if any(m in modes for m in e.measures)]
        if not experiments:
            raise ExperimentError(f"{' '.join(names)}: nothing to measure in mode "
                                  f"{' or '.join(modes)}")  # fmt: skip
        if any(e.domain["start"] == "linux" for e in experiments):
            guests.linux.build()
        if "time" in modes:
            guest_class = guests.clock_of_time(experiments)
    except (ExperimentError, GuestError) as e:  # the latter: Linux cannot be had
        print(f"exp: {e}", file=sys.stderr)
        return 2
    guests.write_places()
    tree, tasks = plan_all(experiments, "--quick" in options, seed, modes)
    if "--points" in options:
        print("\n".join(f"{t.experiment.name} {t.key}" for part in tasks.values() for t in part))
        return 0
    if only := [o.removeprefix("--only=") for o in options if o.startswith("--only=")]:
        return measure_one(experiments, tasks, seed, only[0], guest_class)
    for e in experiments:
        shutil.rmtree(os.path.join(folder_of(e), "failed"), ignore_errors=True)
    engine = measure(experiments, tasks, seed, guest_class)
    failures = publish(experiments, tree, engine, tasks)
    total = sum(map(len, tasks.values()))
    discarded = sum(engine.discarded.values())
    print(f"exp: {total} points, {failures} failed, {discarded} runs discarded, "
          f"{time.monotonic() - started:.0f} s; {guests.FOLDER}/report.html")  # fmt: skip
    if plots.available() is None:
        print("exp: no plots: python3-matplotlib is missing (make setup)", file=sys.stderr)
        return 1
    return 1 if failures else 0


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(run(sys.argv[1:]))
