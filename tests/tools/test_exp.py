"""The harness of experiments, broken in each way that must not go unnoticed; guests are fakes."""
import importlib.util
import json
import os
import sys
import threading
import tomllib
from types import SimpleNamespace

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
sys.path[:0] = [os.path.join(ROOT, "tools"), os.path.join(ROOT, "tools/exp")]
import guests  # noqa: E402
import plots  # noqa: E402
import provenance  # noqa: E402
import reading  # noqa: E402
import report  # noqa: E402
import results  # noqa: E402
from engine import Engine, Store, Task, jobs_of  # noqa: E402
from experiment import ExperimentError, load  # noqa: E402
from guests import Job  # noqa: E402
from machines import Machine  # noqa: E402

from guest import GuestError  # noqa: E402

FILE = """
question = "What does it cost?"
labels = ["kind"]
sanity = ["empty", "nops", "sent"]
gate = ["null_call"]
[domain]
name = "toy"
arguments = "{cores} {sockets} {size}"
[sweep]
machine = ["4x4-amd"]
cores = [2, 4]
size = [1, 8]
[[exclude]]
cores = [4]
size = [8]
[measures.model]
cycles = "simulated cycles"
[[plot]]
name = "cost"
x = "cores"
y = "cycles"
lines = "kind"
"""
GOOD = """[0 1.0 toy] row check=empty samples=7: cycles=2
[0 1.0 toy] row check=nops samples=7: cycles=502
[0 1.0 toy] row kind=plain samples=3: cycles={cycles}
[0 1.0 toy] row check=sent: sent=9 received=9
[0 1.0 toy] toy done
[0 1.1 spawn] domain toy ended with code 0
"""


@pytest.fixture
def write(tmp_path):
    def at(text):
        path = tmp_path / "toy.toml"
        path.write_text(text)
        return str(path)

    return at


@pytest.fixture
def experiment(write):
    return load(write(FILE), ["null_call"])


def test_points_are_the_sweep_without_what_is_excluded(experiment):
    found = [(p["cores"], p["size"]) for p in experiment.points()]
    assert found == [(2, 1), (2, 8), (4, 1)]
    assert experiment.arguments_of(experiment.points()[0]) == "2 4 1"


WRONG = [
    ("question =", "questoin =", "questoin: no such key"),
    ('question = "What does it cost?"', "", "question: is missing"),
    ("[domain]", "[domain]\nspeed = 1", "domain.speed: no such key"),
    ("cores = [2, 4]", "cores = [2, 32]", "sweep: 32 cores are more than the 16 of 4x4-amd"),
    ("cores = [2, 4]", "cores = []", "sweep.cores: must be a list"),
    ("size = [1, 8]", 'size = [1, 1]', "sweep.size: names a value twice"),
    ('machine = ["4x4-amd"]', 'machine = ["9x9-star"]', "sweep.machine: '9x9-star' is none of"),
    ('machine = ["4x4-amd"]', 'machine = ["40x40"]', "sweep.machine: '40x40' has 40 sockets"),
    ("{size}", "{sise}", "domain.arguments: no such axis: 'sise'"),
    ("[measures.model]", "[measures.tme]", "measures: 'tme' is none of count, model, time"),
    ("[sweep]", '[domain.settings]\nNICK = "x"\n[sweep]', "domain.settings: 'NICK' is none of"),
    ("[sweep]", '[domain.settings]\nNIC = "{c}"\n[sweep]', "domain.settings: no such axis: 'c'"),
    ("[sweep]", '[words.sise]\n1 = "x"\n[sweep]', "words: 'sise' is none of machine, cores, size"),
    ("[sweep]", '[words.size]\n1 = "x"\n[sweep]', "words.size: '8' is none of 1"),
    ('y = "cycles"', 'y = "cylces"', "plot.y: 'cylces' is none of cycles"),
    ('gate = ["null_call"]', 'gate = ["nul_call"]', "gate: 'nul_call' is none of null_call"),
    ('sanity = ["empty"', 'sanity = ["emtpy"', "sanity: 'emtpy' is none of"),
    ("[sweep]", "[sweep", "cannot be read"),
]


@pytest.mark.parametrize("old, new, why", WRONG)
def test_a_wrong_file_is_refused_by_one_sentence_with_file_and_key(write, old, new, why):
    assert old in FILE
    path = write(FILE.replace(old, new))
    with pytest.raises(ExperimentError) as refused:
        load(path, ["null_call"])
    assert str(refused.value).startswith(f"{path}: ") and why in str(refused.value)
    assert "\n" not in str(refused.value).strip() or why == "cannot be read"


def test_an_axis_may_have_words_for_arguments_and_settings(write):
    text = FILE.replace("[sweep]", """[domain.settings]
PLACE = "netd:1{size}"
[words.size]
1 = ""
8 = ",httpd:2"
[sweep]""").replace("{cores} {sockets} {size}", "{cores}{size}")
    e = load(write(text), ["null_call"])
    assert [e.arguments_of(p) for p in e.points()] == ["2", "2,httpd:2", "4"]
    assert e.settings_of(e.points()[1]) == {"PLACE": "netd:1,httpd:2"}
    assert Job(e, "model", [e.points()[1]]).settings()["PLACE"] == "netd:1,httpd:2"


LINUX = FILE.replace('name = "toy"', 'name = "toy"\nstart = "linux"')


def test_linux_boots_with_the_cores_of_its_point_and_is_told_what_to_do(write):
    e = load(write(LINUX), ["null_call"])
    job = Job(e, "model", [e.points()[1]])
    assert job.settings()["CORES"] == 2 and job.settings()["ORDER"] == "toy 2 4 8"
    assert len(jobs_of([Task(e, "model", p, {}) for p in e.points()], 1)) == 3  # one a boot


def test_linux_without_an_axis_of_cores_is_refused(write):
    text = LINUX.replace("cores = [2, 4]\nsize", "size").replace("{cores} ", "")
    text = text.replace('x = "cores"', 'x = "size"')
    text = text.replace("[[exclude]]\ncores = [4]\nsize = [8]", "")
    with pytest.raises(ExperimentError, match="sweep.cores: is missing: Linux boots with as many"):
        load(write(text), ["null_call"])


def test_a_linux_guest_stands_in_for_a_linux_point(write, tmp_path, monkeypatch):
    monkeypatch.setattr(guests, "FOLDER", str(tmp_path))
    said, record = [], {"region": "toy", "total": {}, "slip": 0}

    class Fake(guests.LinuxGuest):
        def __init__(self, name, QEMU_ARGS, **_):
            self.text, self.ended = GOOD.format(cycles=7) + "linux done\n", True
            self.news = threading.Condition()
            with open(QEMU_ARGS.split("out=")[1].split(",")[0], "w") as f:
                f.write(json.dumps(record) + "\n")

        def wait(self):
            pass

        stop = wait

    monkeypatch.setattr(guests, "LinuxGuest", Fake)
    e = load(write(LINUX), ["null_call"])
    guests.run(Job(e, "model", e.points()[:1]), said.append)
    assert said[0].why == "" and said[0].rows[0]["measures"] == {"cycles": 7}


def test_the_counting_plugin_is_asked_for_what_is_measured(write):
    text = FILE.replace('cycles = "simulated cycles"', 'instructions = "n"').replace("cycles", "n")
    text = text.replace("measures.model", "measures.count").replace('y = "n"', 'y = "instructions"')
    plain = Job(load(write(text), ["null_call"]), "count", [{"cores": 2, "size": 1}]).counting(512)
    assert "wakes=" not in plain and "lines=" not in plain and "without" not in plain
    text = text.replace('instructions = "n"', 'instructions = "n"\nwakes = "n"\nmessages = "n"')
    text = text.replace("[domain]", "[domain]\nwithout = 3")
    asked = Job(load(write(text), ["null_call"]), "count", [{"cores": 2, "size": 1}]).counting(512)
    assert "/wakes,lines=512,without=3" in asked


def test_a_sweep_that_excludes_everything_is_impossible(write):
    text = FILE.replace("cores = [4]\nsize = [8]", "cores = [2, 4]")
    with pytest.raises(ExperimentError, match="sweep: has 0 points"):
        load(write(text), ["null_call"])


def test_every_experiment_of_the_tree_can_be_read():
    folder = os.path.join(ROOT, "usr/bench")
    for name in sorted(n for n in os.listdir(folder) if n.endswith(".toml")):
        found = load(os.path.join(folder, name))
        assert found.points() and found.points(quick=True)
        with open(os.path.join(folder, name), "rb") as f:
            assert tomllib.load(f)["question"].endswith("?")


def test_a_machine_is_sockets_cores_and_topology():
    assert Machine("8x4").options().startswith("sockets=8,cores=4,topo=2")
    assert Machine("2x32-ring").options().startswith("sockets=2,cores=32,topo=1")
    for wrong in ("8", "8x4-star", "17x1", "16x16", "1x1"):
        with pytest.raises(ValueError):
            Machine(wrong)


class FakeGuest:
    """Says per point what `script(point's arguments, how often)` answers; None: hangs."""

    script, boots, tries = None, 0, {}

    def __init__(self, name, **settings):
        type(self).boots += 1
        self.text, self.position, self.slips, self.ended = "", 0, 0, False
        self.out = settings["QEMU_ARGS"].split("out=")[1].split(",")[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def wait_for(self, pattern, timeout):
        import re

        return re.search(r"cores (\d+) of (\d+) are up", "cores 16 of 16 are up")

    def send(self, line):
        arguments = line.split(" on 0 ")[1]
        self.tries[arguments] = self.tries.get(arguments, 0) + 1
        said, slips = type(self).script(arguments, self.tries[arguments])
        self.slips += slips
        self.text += said
        with open(self.out, "a") as f:
            f.write(json.dumps({"region": "toy", "total": {}, "slip": self.slips}) + "\n")

    def expect(self, pattern, timeout):
        import re

        found = re.compile(pattern, re.M).search(self.text, self.position)
        if not found:
            raise GuestError(f"no /{pattern}/ within {timeout} s\n{self.text[-200:]}")
        self.position = found.end()
        return found

    def qmp(self, _):
        pass

    def wait(self):
        pass


def good(arguments, _):
    return GOOD.format(cycles=int(arguments.split()[0]) * 100), 0


@pytest.fixture
def measured(experiment, tmp_path, monkeypatch):
    """measured(script): tasks after a run in which guests say what the script answers."""
    monkeypatch.setattr(guests, "FOLDER", str(tmp_path))

    def run(script, store=None):
        fake = type("Fake", (FakeGuest,), {"script": staticmethod(script), "boots": 0, "tries": {}})
        origin = {"revision": "r", "mode": "model"}
        tasks = [Task(experiment, "model", p, origin) for p in experiment.points()]
        said = []
        engine = Engine({"toy": store or Store(str(tmp_path / "toy"))}, 1, said.append, fake)
        engine.run(tasks)
        assert len(said) == len(tasks)
        return tasks, fake, engine

    return run


def test_a_good_run_has_a_row_for_each_point(measured):
    tasks, fake, _ = measured(good)
    assert [t.result["rows"][0]["measures"]["cycles"] for t in tasks] == [200, 200, 400]
    assert fake.boots == 1


def test_what_was_measured_is_not_measured_again(measured):
    measured(good)
    tasks, fake, _ = measured(lambda *_: pytest.fail("measured again"))
    assert fake.boots == 0 and all(t.result for t in tasks)


def test_half_a_file_of_an_interrupted_run_is_no_result(measured, tmp_path):
    tasks, _, _ = measured(good)
    (tmp_path / "toy/points" / f"{tasks[1].key}.json").write_text('{"rows": [')
    tasks, fake, _ = measured(good)
    assert fake.boots == 1 and fake.tries == {"2 4 8": 1} and all(t.result for t in tasks)


PANIC = "[0] CPU driver panic: kernel/x.cpp:1: why\n"
FAULT = "[0 1 spawn] domain toy on core 1 faulted: read of 0000000000000008\n"
BROKEN = {
    "hangs": ("", "toy did not come to its end within 600 s"),
    "panics": (PANIC, "the guest says: CPU driver panic"),
    "cannot": ("[0 1 toy] cannot span: no room\n", "the guest says: toy] cannot span: no room"),
    "faults": (FAULT, "the guest says: domain toy on core 1 faulted"),
    "loses": (GOOD.replace("received=9", "received=8"), "9 messages were sent, 8 received"),
    "counts wrong": (GOOD.replace("cycles=502", "cycles=602"), "a row of 1000 NOPs takes 602"),
    "checks nothing": (GOOD.replace("row check=nops", "now"), "the guest does not say check=nops"),
    "says half a number": (GOOD.replace("{cycles}", "1.5"), "the guest says cycles=1.5, which is"),
    "says no row": (GOOD.replace("row kind=plain", "now"), "the guest said no row"),
    "mislabels": (GOOD.replace("kind=plain", "knid=plain"), "a row of the guest has no label kind"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_point_says_why_and_the_others_go_on(measured, how):
    text, why = BROKEN[how]

    def script(arguments, again):
        if arguments == "2 4 8":
            return text.replace("{cycles}", "7"), 0
        return good(arguments, again)

    tasks, fake, _ = measured(script)
    assert [bool(t.result) for t in tasks] == [True, False, True]
    assert tasks[1].why.startswith(why)
    with open(tasks[1].console_path) as f:
        assert f.read().startswith(tasks[1].why)
    assert fake.boots == 2  # nobody knows in what state the first guest was


def test_the_end_of_a_domain_is_not_taken_for_that_of_the_next(measured, monkeypatch):
    """A domain says that it is done some time before it has ended."""
    send, expect = FakeGuest.send, FakeGuest.expect

    def send_late(self, line):
        self.text += getattr(self, "late", "")
        send(self, line)
        self.text, mark, end = self.text.rpartition("[0 1.1 spawn]")
        self.late = mark + end

    def expect_late(self, *words):
        try:
            return expect(self, *words)
        except GuestError:
            self.text, self.late = self.text + self.late, ""
            return expect(self, *words)

    monkeypatch.setattr(FakeGuest, "send", send_late)
    monkeypatch.setattr(FakeGuest, "expect", expect_late)
    tasks, _, _ = measured(good)
    assert all(t.result for t in tasks)


def test_a_record_of_the_model_that_is_cut_off_fails_its_point_alone(measured, monkeypatch):
    def script(arguments, again):
        if arguments == "2 4 8":
            return GOOD.replace("{cycles}", "7"), "x"  # no number, so no record
        return good(arguments, again)

    send = FakeGuest.send

    def cut_off(self, line):
        try:
            send(self, line)
        except TypeError:
            self.text += GOOD.format(cycles=7)
            with open(self.out, "a") as f:
                f.write('{"region": "toy", "tot\n')

    monkeypatch.setattr(FakeGuest, "send", cut_off)
    tasks, _, _ = measured(script)
    assert [bool(t.result) for t in tasks] == [True, False, True]
    assert "Unterminated string" in tasks[1].why


def test_runs_with_slips_are_discarded_and_counted(measured):
    tasks, _, engine = measured(lambda a, n: (good(a, n)[0], 1 if a == "2 4 1" and n < 3 else 0))
    assert all(t.result for t in tasks) and engine.discarded == {tasks[0].name: 2}
    assert tasks[0].result["rows"][0]["measures"]["cycles"] == 200


def test_a_host_that_is_too_busy_for_the_model_is_said(experiment, measured):
    tasks, _, _ = measured(lambda a, n: (good(a, n)[0], 1))
    assert {t.why for t in tasks} == {"the order of clocks was not kept in 4 runs: a loaded host"}


def test_a_guest_that_does_not_boot_fails_its_points(measured, monkeypatch):
    def too_late(*_):
        raise GuestError("no /Type help/ within 300 s\nlast line")

    monkeypatch.setattr(FakeGuest, "wait_for", too_late)
    tasks, _, _ = measured(good)
    assert {t.why for t in tasks} == {"no /Type help/ within 300 s"}


def test_counts_come_from_the_plugin_in_the_order_of_rows():
    import count_output

    labels = ("check=empty samples=1", "check=nops samples=1", "kind=x samples=3")
    text = "".join(f"[0 1 a] row {words}: cycles=1\n" for words in labels)
    rows = reading.rows_of(text)
    passed = [count_output.Counts(n, 0, p) for n, p in
              ((6, 0), (1006, 0), (60, 4), (50, 0), (90, 0))]  # fmt: skip
    reading.count(rows, passed)
    kept = reading.judge(rows, "count", ["empty", "nops"])
    assert [r.values["instructions"] for r in kept] == [50] and kept[0].values["worst"] == 84
    with pytest.raises(reading.PointError, match="saw 4 samples, the guest lists 5"):
        reading.count(rows, passed[:4])


def test_a_sample_of_many_is_shared_among_them():
    import count_output

    text = "[0 1 a] row check=empty samples=1:\n[0 1 a] row kind=x samples=3 each=4:\n"
    rows = reading.rows_of(text)
    passed = [count_output.Counts(n, 0, 0, wakes=w, lines=8) for n, w in
              ((2, 0), (42, 6), (32, 9), (52, 6))]  # fmt: skip
    reading.count(rows, passed)
    measured = {"instructions": 10, "worst": 12.5, "wakes": 1.5, "messages": 2}
    assert rows[1].values == measured and rows[1].labels == {"kind": "x"}


def published(measured, experiment, folder):
    folder.mkdir(exist_ok=True)
    tasks, engine = measured(good)[::2]
    tree = {"revision": "0123456789abcdef", "dirty": "", "compiler": "c", "qemu": "q"}
    rows = results.write(str(folder), tasks)
    results.write_volatile(str(folder), engine, tasks)
    names = plots.draw_all(str(folder), experiment, rows, tree)
    report.write(str(folder / "report.html"), str(folder.parent), tree,
                 [(experiment, rows, names, [])])  # fmt: skip
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def test_two_runs_write_identical_files(measured, experiment, tmp_path):
    first = published(measured, experiment, tmp_path / "toy")
    again = published(measured, experiment, tmp_path / "toy")
    first.pop("volatile.json"), again.pop("volatile.json")
    assert first == again and {"rows.jsonl", "rows.csv", "cost.csv"} <= set(first)
    svg = first["cost.svg"].decode()
    assert "unit: simulated cycles · mode: model · revision 0123456789ab" in svg
    origins, rows = results.read(tmp_path / "toy/rows.jsonl")
    assert len(rows) == 3 and all(r["provenance"] in origins for r in rows)


@pytest.mark.parametrize("option", ["--quik", "--only", "--help"])
def test_an_option_that_is_none_is_refused(command, capsys, option):
    assert command(option) == 2
    assert f"no option {option}; there are --quick" in capsys.readouterr().err


def test_a_seed_that_is_no_number_is_refused(command, capsys, monkeypatch):
    monkeypatch.setenv("SEED", "abc")
    assert command("--points") == 2
    assert capsys.readouterr().err == "exp: SEED=abc: must be a number\n"


def test_without_the_plotting_library_the_data_is_still_there(
    measured, experiment, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert plots.available() is None
    found = published(measured, experiment, tmp_path / "toy")
    assert "cost.csv" in found and "cost.svg" not in found


def test_what_makes_a_difference_makes_another_key(experiment):
    point, origin = experiment.points()[0], {"revision": "a", "dirty": ""}
    keys = {Task(experiment, "model", point, origin).key,
            Task(experiment, "model", experiment.points()[1], origin).key,
            Task(experiment, "model", point, origin | {"dirty": "x"}).key}  # fmt: skip
    assert len(keys) == 3
    assert provenance.name_of(origin) == provenance.name_of(dict(reversed(origin.items())))


def test_points_that_boot_alike_share_a_guest(experiment):
    tasks = [Task(experiment, "model", p, {}) for p in experiment.points()]
    assert [len(part) for _, part in jobs_of(tasks, 1)] == [3]


def test_a_comparison_names_metric_ratio_and_verdict():
    import diff

    def row(value, kind="x"):
        return {"experiment": "e", "mode": "count", "labels": {"kind": kind},
                "measures": {"instructions": value}}  # fmt: skip

    first = dict(m for r in (row(100), row(7, "same"), row(3, "gone")) for m in diff.metrics(r))
    second = dict(m for r in (row(90), row(7, "same"), row(5, "new")) for m in diff.metrics(r))
    lines = [(cells[0], *cells[3:]) for cells in diff.compare(first, second)]
    assert lines == [
        ("e count kind=x instructions", "0.900", "exact", "less: -10.0%"),
        ("e count kind=same instructions", "1.000", "exact", "equal"),
        ("e count kind=gone instructions", "", "exact", "only in A"),
        ("e count kind=new instructions", "", "exact", "only in B"),
    ]


def test_a_comparison_with_no_revision_is_one_sentence(capsys, monkeypatch):
    import diff

    for name, why in (("", "exp-diff: A= names the revision"), ("nil", "exp-diff: nil: no such")):
        monkeypatch.setenv("A", name)
        assert diff.main([]) == 1
        assert capsys.readouterr().err.startswith(why)


@pytest.fixture
def command(write, tmp_path, monkeypatch):
    """command(words...) runs tools/exp on the toy's file, with guests that answer well."""
    spec = importlib.util.spec_from_file_location("exp_main", f"{ROOT}/tools/exp/__main__.py")
    main = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(main)
    path = write(FILE)
    (tmp_path / "image").write_text("image")
    for name in ("FOLDER", "IMAGE"):
        monkeypatch.setattr(guests, name, str(tmp_path / name.lower()))
    monkeypatch.setattr(guests, "write_places", lambda: os.makedirs(guests.FOLDER, exist_ok=True))
    monkeypatch.setattr(main.provenance, "of_boot", lambda tree, *_: tree | {"mode": "model"})

    def run(*words, script=good, file=path):
        fake = type("Fake", (FakeGuest,), {"script": staticmethod(script), "tries": {}})
        return main.run([*words, file], fake)

    return run


def test_points_of_a_workflow_are_measured_one_by_one_and_published_at_the_end(command, capsys):
    assert command("--points") == 0
    listed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [name for name, _ in listed] == ["toy"] * 3
    for _, key in listed:
        assert command(f"--only={key}") == 0
        assert os.path.exists(os.path.join(guests.FOLDER, "toy/points", f"{key}.json"))
    assert command() == 0
    assert "3 points, 0 failed" in capsys.readouterr().out
    assert len(results.read(os.path.join(guests.FOLDER, "toy/rows.jsonl"))[1]) == 3


def test_a_point_that_nobody_listed_is_told(command, capsys):
    assert command("--only=0123") == 2
    assert "no point 0123" in capsys.readouterr().err


def test_the_exit_status_says_whether_all_was_measured(command, write, capsys, monkeypatch):
    assert command() == 0
    assert command(script=lambda *_: (PANIC, 0), file=write(FILE + "\n")) == 1
    assert "3 points, 3 failed" in capsys.readouterr().out
    assert command(file="nosuch") == 2
    assert "no experiment 'nosuch'" in capsys.readouterr().err


def test_without_the_plotting_library_the_rows_are_there_and_it_is_said(
    command, capsys, monkeypatch
):
    monkeypatch.setattr(plots, "available", lambda: None)
    assert command() == 1
    assert "python3-matplotlib is missing" in capsys.readouterr().err
    assert os.path.exists(os.path.join(guests.FOLDER, "toy/rows.csv"))


def test_a_comparison_of_what_could_not_be_measured_is_none(monkeypatch, tmp_path):
    import diff

    monkeypatch.setattr(diff, "tree_of", lambda _: str(tmp_path))
    monkeypatch.setattr(diff, "build", lambda _: str(tmp_path))
    failed = SimpleNamespace(returncode=1)
    monkeypatch.setattr(diff.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(diff.DiffError, match="this tree: not everything could be measured"):
        diff.measure("", ["toy"])


def test_results_of_another_harness_are_not_taken_for_these(monkeypatch):
    before = provenance.harness_hash()
    monkeypatch.setattr(provenance, "TOOLS", ("count_output",))
    assert provenance.harness_hash() != before
