"""An experiment file (usr/bench/NAME.toml), checked: what is wrong is one sentence with the key.

    question, published      sentences: what it asks, and whose figure it is held against
    [domain]                 name, arguments (with {axis}), place, cores, memory, seconds;
                             start: spawn (by the shell), setting (count=), linux (tools/vs_linux);
                             without: a core that is the other machine, left out of the counts
    [domain.settings]        more settings of tools/run.py (with {axis})
    [words.AXIS]             value = "what stands for it" in arguments and settings
    [sweep]                  axis = [values]; the axes `machine` and `cores` mean what they say
    [[exclude]]              axis = [values]: points that have all of these are left out
    [quick]                  the axes' values for `make exp-quick`
    labels                   what rows of one point differ in, as the guest names them
    [measures.MODE]          measure = "unit", for each mode it runs in: count, model, time
    sanity                   checks inside every point: empty, nops, sent
    [[plot]]                 name, title, mode, x, y, lines, each, where, log
    gate                     figures of tests/baseline.json that hold it in `make test`
"""
import itertools
import json
import os
import sys
import tomllib
from dataclasses import dataclass, field

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import settings  # noqa: E402
from machines import Machine  # noqa: E402

MODES = ("count", "model", "time")
STARTS = ("spawn", "setting", "linux")
SANITY = ("empty", "nops", "sent")
MOST_POINTS = 2000
NEEDED, TOP = ("question", "domain", "measures"), {
    "question": str, "published": str, "domain": dict, "sweep": dict, "exclude": list,
    "quick": dict, "labels": list, "measures": dict, "sanity": list, "plot": list, "gate": list,
    "words": dict,
}  # fmt: skip
DOMAIN = {"name": str, "arguments": str, "start": str, "place": int, "cores": int, "memory": str,
          "seconds": int, "without": int, "settings": dict}  # fmt: skip
PLOT = {"name": str, "title": str, "mode": str, "x": str, "y": str, "lines": str, "each": str,
        "where": dict, "log": str}  # fmt: skip


class ExperimentError(Exception):
    """One sentence, with file and key."""


@dataclass
class Experiment:
    name: str
    path: str
    text: str
    question: str
    published: str
    domain: dict
    sweep: dict
    exclude: list
    quick: dict
    labels: list
    measures: dict  # {mode: {measure: unit}}
    sanity: list
    plots: list = field(default_factory=list)
    gate: list = field(default_factory=list)
    words: dict = field(default_factory=dict)  # {axis: {value: text}}

    def points(self, quick=False):
        """Each as {axis: value}, in the file's order."""
        axes = self.sweep | (self.quick if quick else {})
        every = [dict(zip(axes, values)) for values in itertools.product(*axes.values())]
        return [p for p in every if not any(_covers(e, p) for e in self.exclude)]

    def cores_of(self, mode, point):
        """How many cores the guest boots with; Linux with those that take part, by its program."""
        if self.domain["start"] == "linux":
            return point["cores"]
        if mode == "model":
            return Machine(point["machine"]).all_cores
        return point.get("cores", 1) if self.domain["start"] == "setting" else self.domain["cores"]

    def arguments_of(self, point):
        return self.domain["arguments"].format(**self.known_words(point))

    def settings_of(self, point):
        """Those that the file adds."""
        words = self.known_words(point)
        return {k: str(v).format(**words) for k, v in self.domain.get("settings", {}).items()}

    def known_words(self, point):
        """What `arguments` and settings may name."""
        said = {axis: self.words.get(axis, {}).get(str(v), v) for axis, v in point.items()}
        return of_machine(point) | said


def of_machine(point):
    words = {}
    if "machine" in point:
        machine = Machine(point["machine"])
        words |= {"sockets": machine.sockets, "socket_cores": machine.cores,
                  "all_cores": machine.all_cores}  # fmt: skip
    return words


def _covers(exclusion, point):
    return all(point.get(axis) in values for axis, values in exclusion.items())


class Checker:
    def __init__(self, path):
        self.path = path

    def refuse(self, key, why):
        raise ExperimentError(f"{self.path}: {key}: {why}")

    def table(self, where, found, known, needed=()):
        """Known keys of the right kind."""
        for key, value in found.items():
            name = f"{where}.{key}" if where else key
            if key not in known:
                self.refuse(name, f"no such key; known are {', '.join(known)}")
            if type(value) is not known[key]:
                self.refuse(name, f"must be a {known[key].__name__}")
        for key in needed:
            if key not in found:
                self.refuse(f"{where}.{key}" if where else key, "is missing")

    def axes(self, where, found):
        for axis, values in found.items():
            name = f"{where}.{axis}"
            if not isinstance(values, list) or not values:
                self.refuse(name, "must be a list of values")
            if any(type(v) not in (int, str) for v in values):
                self.refuse(name, "values are numbers or strings")
            if len(set(values)) != len(values):
                self.refuse(name, "names a value twice")
            if axis == "cores" and any(type(v) is not int or not 1 <= v <= 255 for v in values):
                self.refuse(name, "must be numbers from 1 to 255")
            for value in values if axis == "machine" else ():
                try:
                    Machine(value)
                except (ValueError, TypeError) as e:
                    self.refuse(name, str(e))

    def words(self, key, found, known):
        for word in found:
            if word not in known:
                self.refuse(key, f"{word!r} is none of {', '.join(known)}")

    def sweep(self, e):
        self.axes("sweep", e.sweep)
        self.axes("quick", e.quick)
        self.words("quick", e.quick, e.sweep)
        for exclusion in e.exclude:
            self.axes("exclude", exclusion)
            self.words("exclude", exclusion, e.sweep)
        if "model" in e.measures and "machine" not in e.sweep:
            self.refuse("sweep.machine", "is missing: the mode model needs a machine")
        if e.domain["start"] == "linux" and "cores" not in e.sweep:
            self.refuse("sweep.cores", "is missing: Linux boots with as many")
        for quick in (False, True):
            points = e.points(quick)
            if not 1 <= len(points) <= MOST_POINTS:
                self.refuse("sweep", f"has {len(points)} points; 1 to {MOST_POINTS} are possible")
            for point in points:
                self.point(e, point)

    def point(self, e, point):
        try:
            e.arguments_of(point)
        except (KeyError, IndexError, ValueError) as missing:
            self.refuse("domain.arguments", f"no such axis: {missing}")
        try:
            e.settings_of(point)
        except (KeyError, IndexError, ValueError) as missing:
            self.refuse("domain.settings", f"no such axis: {missing}")
        for mode in e.measures:
            cores, wanted = e.cores_of(mode, point), point.get("cores", 1)
            if wanted > cores:
                of = point.get("machine") if mode == "model" else "the boot (domain.cores)"
                self.refuse("sweep", f"{wanted} cores are more than the {cores} of {of}: exclude "
                            "that point")  # fmt: skip

    def vocabulary(self, e):
        """Settings that there are; a word for each value of an axis that has any."""
        self.words("domain.settings", e.domain.get("settings", {}), settings.RUN)
        self.words("words", e.words, e.sweep)
        for axis, texts in e.words.items():
            values = [str(v) for v in e.sweep[axis] + e.quick.get(axis, [])]
            self.words(f"words.{axis}", values, list(texts))

    def plots(self, e):
        for plot in e.plots:
            self.table("plot", plot, PLOT, ("name", "x", "y"))
            mode = plot.setdefault("mode", next(iter(e.measures)))
            self.words("plot.mode", [mode], list(e.measures))
            self.words("plot.y", [plot["y"]], list(e.measures[mode]))
            known = [*e.sweep, *e.labels]
            for key in ("x", "lines", "each"):
                self.words(f"plot.{key}", [plot[key]] if key in plot else [], known)
            self.words("plot.where", plot.get("where", {}), known)
            self.words("plot.log", plot.get("log", ""), "xy")


def load(path, baseline=None):
    """The experiment of a file; raises ExperimentError."""
    check = Checker(path)
    try:
        with open(path, encoding="utf-8") as f:
            text = f.read()
        found = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise ExperimentError(f"{path}: cannot be read: {e}") from None
    check.table("", found, TOP, NEEDED)
    domain = {"start": "spawn", "place": 0, "cores": 8, "memory": "1G", "seconds": 600,
              "arguments": ""} | found["domain"]  # fmt: skip
    check.table("domain", domain, DOMAIN, ("name",))
    check.words("domain.start", [domain["start"]], STARTS)
    check.words("measures", found["measures"], MODES)
    if not found["measures"]:
        check.refuse("measures", "names no mode")
    e = Experiment(
        os.path.splitext(os.path.basename(path))[0], path, text, found["question"],
        found.get("published", ""), domain, found.get("sweep", {}), found.get("exclude", []),
        found.get("quick", {}), found.get("labels", []), found["measures"],
        found.get("sanity", list(SANITY)), found.get("plot", []), found.get("gate", []),
        found.get("words", {}),
    )  # fmt: skip
    check.words("sanity", e.sanity, SANITY)
    check.vocabulary(e)
    check.sweep(e)
    check.plots(e)
    check.words("gate", e.gate, baseline if baseline is not None else gated(path))
    return e


def gated(path):
    """Figures that `make test` holds."""
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    try:
        with open(os.path.join(root, "tests/baseline.json")) as f:
            agreed = json.load(f)
    except OSError as e:
        raise ExperimentError(f"{path}: gate: {e}") from None
    return [name for kind in agreed.values() for name in kind]


