"""Runs the points of experiments: two guests at a time, each on a host CPU of its own.

What was measured is kept point by point under a key of provenance, experiment file and point, so
an interrupted run goes on where it was.
"""
import json
import os
import queue
import threading

import guests
import provenance
from guests import Job

POINTS_A_BOOT = 24


class Store:
    """BUILD/exp/NAME/points: one file a measured point; `failed` has a folder for each other."""

    def __init__(self, folder):
        self.points, self.failed = os.path.join(folder, "points"), os.path.join(folder, "failed")
        os.makedirs(self.points, exist_ok=True)

    def path(self, key):
        return os.path.join(self.points, f"{key}.json")

    def read(self, key):
        try:
            with open(self.path(key)) as f:
                return json.load(f)
        except (OSError, ValueError):  # none, or half of one
            return None

    def keep(self, key, what):
        partial = self.path(key) + ".part"
        with open(partial, "w") as f:
            json.dump(what, f, indent=1)
        os.replace(partial, self.path(key))

    def keep_failure(self, name, why, console):
        os.makedirs(self.failed, exist_ok=True)
        path = os.path.join(self.failed, f"{name}.log")
        with open(path, "w") as f:
            f.write(f"{why}\n\n{console}")
        return path


class Task:
    """One point of one experiment in one mode."""

    def __init__(self, experiment, mode, point, origin):
        self.experiment, self.mode, self.point, self.origin = experiment, mode, point, origin
        self.provenance = provenance.name_of(origin)
        words = (self.provenance, experiment.text, mode, json.dumps(point, sort_keys=True))
        self.key = provenance.hash_of(*words)[:24]
        self.result, self.why, self.console_path = None, "", ""

    @property
    def name(self):
        words = [self.experiment.name, self.mode, *(f"{k}={v}" for k, v in self.point.items())]
        return " ".join(map(str, words))


def boot_key(experiment, mode, point):
    """Points that have the same one may share a guest."""
    settings = Job(experiment, mode, [point]).settings()
    alone = json.dumps(point) if experiment.domain["start"] != "spawn" else ""
    return json.dumps(settings, sort_keys=True) + alone


def plan(experiment, quick, seed, tree, root, modes=("count", "model")):
    """All tasks of an experiment in these modes."""
    tasks, origins = [], {}
    for mode in (m for m in experiment.measures if m in modes):
        for point in experiment.points(quick):
            key = boot_key(experiment, mode, point)
            if key not in origins:
                origins[key] = origin(tree, root, Job(experiment, mode, [point], seed))
            tasks.append(Task(experiment, mode, point, origins[key]))
    return tasks


def origin(tree, root, job):
    if job.experiment.domain["start"] == "linux":
        return provenance.of_linux(tree, guests.LINUX_FILES, job.settings(), job.mode, job.seed)
    return provenance.of_boot(tree, root, guests.IMAGE, job.settings(), job.mode, job.seed)


def jobs_of(tasks, seed):
    """Tasks in lots for one guest each, the largest machines first: they take longest."""
    lots = {}
    for task in tasks:
        key = (task.experiment.name, task.mode, boot_key(task.experiment, task.mode, task.point))
        lots.setdefault(key, []).append(task)
    jobs = []
    for lot in lots.values():
        for start in range(0, len(lot), POINTS_A_BOOT):
            part, first = lot[start : start + POINTS_A_BOOT], lot[start]
            jobs.append((Job(first.experiment, first.mode, [t.point for t in part], seed), part))
    jobs.sort(key=lambda j: -j[0].settings()["CORES"])
    for number, (job, _) in enumerate(jobs):
        job.number = number
    return jobs


class Engine:
    def __init__(self, stores, seed, say, guest_class=guests.Skerry, cpus=None):
        self.stores, self.seed, self.say, self.guest_class = stores, seed, say, guest_class
        self.cpus = cpus or sorted(os.sched_getaffinity(0))[:2]
        self.lock, self.waiting, self.numbers = threading.Lock(), queue.Queue(), 0
        self.discarded, self.seconds, self.trouble = {}, {}, None

    def report(self, task, outcome):
        store = self.stores[task.experiment.name]
        with self.lock:
            self.seconds[task.name] = outcome.seconds
            if outcome.discarded:
                self.discarded[task.name] = outcome.discarded
            if outcome.why:
                task.why = outcome.why
                name = task.name.replace(" ", "_").replace("/", "-")
                task.console_path = store.keep_failure(name, outcome.why, outcome.console)
            else:
                task.result = {"rows": outcome.rows}
                store.keep(task.key, task.result)
            self.say(task)

    def run_job(self, job, tasks):
        """One guest; who was not tried since another has failed gets another guest."""
        left = list(tasks)

        def report(outcome):
            task = next(t for t in left if t.point == outcome.point)
            left.remove(task)
            self.report(task, outcome)

        guests.run(job, report, self.guest_class)
        if left and len(left) < len(tasks):
            with self.lock:
                self.numbers += 1
                number = self.numbers
            points = [t.point for t in left]
            self.waiting.put((Job(job.experiment, job.mode, points, self.seed, number), left))
        elif left:  # nothing was told of any of them: not to be tried for ever
            for task in left:
                self.report(task, guests.Outcome(task.point, why="the guest ended in between"))

    def work(self, cpu):
        os.sched_setaffinity(0, {cpu})  # of this thread, and of the guests it starts
        while self.trouble is None:
            try:
                job, tasks = self.waiting.get_nowait()
            except queue.Empty:
                return
            try:
                self.run_job(job, tasks)
            except Exception as e:  # a mistake of ours must not end as silence
                self.trouble = e

    def run(self, tasks):
        """Measures what is not kept from before; each task then has a result or a reason."""
        todo = []
        for task in tasks:
            task.result = self.stores[task.experiment.name].read(task.key)
            if task.result is None:
                todo.append(task)
            else:
                self.say(task)
        jobs = jobs_of(todo, self.seed)
        self.numbers = len(jobs)
        for job in jobs:
            self.waiting.put(job)
        workers = [threading.Thread(target=self.work, args=(cpu,), daemon=True)
                   for cpu in self.cpus]  # fmt: skip
        for worker in workers:
            worker.start()
        for worker in workers:
            while worker.is_alive():
                worker.join(1)
        if self.trouble:
            raise self.trouble
