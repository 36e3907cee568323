"""`make exp NAME=...`: runs experiments, keeps their rows, draws them (docs/experiments).

    tools/exp [--quick] [NAME...]      all experiments of usr/bench when none is named

Files come into BUILD/exp/NAME, and BUILD/exp/report.html shows all of the run. The exit status is 1
when a point has failed or plots could not be drawn, 2 when an experiment file is wrong.
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
from experiment import ExperimentError, load  # noqa: E402

from guest import ROOT  # noqa: E402

FILES = os.path.join(ROOT, "usr/bench")


def paths_of(names):
    """Files of the named experiments, or of all."""
    known = {os.path.splitext(os.path.basename(p))[0]: p for p in glob(f"{FILES}/*.toml")}
    for name in names:
        if name not in known and not os.path.isfile(name):
            raise ExperimentError(f"no experiment {name!r}; there are {', '.join(sorted(known))}")
    return [known.get(name, name) for name in names] or [known[name] for name in sorted(known)]


def folder_of(experiment):
    return os.path.join(guests.FOLDER, experiment.name)


def measure(experiments, quick, seed, guest_class=guests.Skerry):
    """(tree's provenance, engine, {name: tasks}); prints as it goes."""
    sources = os.environ.get("EXP_TREE") or ROOT  # of another revision (diff.py)
    tree = provenance.of_tree(sources)
    tasks = {e.name: plan(e, quick, seed, tree, ROOT) for e in experiments}
    stores = {e.name: Store(folder_of(e)) for e in experiments}
    for store in stores.values():
        shutil.rmtree(store.failed, ignore_errors=True)
    every = [t for part in tasks.values() for t in part]
    with progress.Progress(len(every)) as shown:
        engine = Engine(stores, seed, shown.point, guest_class)
        engine.run(every)
    return tree, engine, tasks


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


def run(arguments, guest_class=guests.Skerry):
    quick = "--quick" in arguments
    names = [a for a in arguments if a != "--quick"]
    started = time.monotonic()
    try:
        experiments = [load(path) for path in paths_of(names)]
    except ExperimentError as e:
        print(f"exp: {e}", file=sys.stderr)
        return 2
    if not os.path.exists(guests.IMAGE):
        print(f"exp: {guests.IMAGE} does not exist; `make exp` builds it", file=sys.stderr)
        return 2
    guests.write_polling()
    seed = int(os.environ.get("SEED") or 1)
    tree, engine, tasks = measure(experiments, quick, seed, guest_class)
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
