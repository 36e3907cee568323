"""Mode time of the experiments: statistics of samples that are made up, and who is not believed."""
import os
import random
import sys

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
sys.path[:0] = [os.path.join(ROOT, "tools"), os.path.join(ROOT, "tools/exp")]
import diff  # noqa: E402
import doctor  # noqa: E402
import guests  # noqa: E402
import reading  # noqa: E402
import spread  # noqa: E402
from experiment import ExperimentError, load  # noqa: E402
from guests import Job  # noqa: E402

FILE = f"{ROOT}/usr/bench/durations.toml"


def test_the_cold_sample_stands_apart_and_quartiles_are_those_of_the_others():
    found = spread.summary([9000, *range(1, 102)], 1)
    assert (found["cold"], found["median"], found["q1"], found["q3"]) == (9000, 51, 26, 76)
    assert found["low"] < 51 < found["high"]


def test_samples_that_are_all_equal_leave_no_doubt():
    found = spread.summary([500] + [80] * 20, 1)
    assert [found[k] for k in ("median", "q1", "q3", "low", "high")] == [80] * 5


def test_the_interval_holds_the_true_median_about_95_times_in_100():
    inside, draw = 0, random.Random(5)
    for seed in range(100):
        found = spread.summary([0] + [draw.lognormvariate(5, 0.3) for _ in range(41)], seed)
        inside += found["low"] <= 148.4 <= found["high"]  # e to the power of 5
    assert 88 <= inside <= 99


def test_an_interval_is_the_same_whenever_it_is_computed_and_in_whatever_order():
    samples = [random.Random(3).randrange(100, 200) for _ in range(50)]
    assert spread.interval(samples, 7) == spread.interval(samples[::-1], 7)


def test_more_samples_make_the_interval_narrower():
    draw = random.Random(2)
    widths = []
    for size in (20, 2000):
        low, high = spread.interval([draw.gauss(1000, 50) for _ in range(size)], 1)
        widths.append(high - low)
    assert widths[1] < widths[0] / 4


def test_too_few_samples_are_no_figure():
    with pytest.raises(spread.SpreadError, match="7 samples after the cold one; 8 are needed"):
        spread.summary(list(range(8)), 1)


def test_medians_are_told_apart_only_where_their_intervals_are():
    a = {"median": 100, "low": 95, "high": 105}
    assert spread.verdict(a, {"median": 104, "low": 99, "high": 109}) == "not told apart"
    assert spread.verdict(a, {"median": 80, "low": 75, "high": 85}) == "less: -20.0%"
    assert spread.verdict(a, {"median": 120, "low": 115, "high": 125}) == "more: +20.0%"


def test_a_comparison_of_times_has_an_interval_and_one_line_a_figure():
    def table(median, low, high):
        labels = ("figure=null_call",)
        numbers = {"median": median, "low": low, "high": high, "q1": low, "cold": 900}
        return {("durations", "time", labels, k): v for k, v in numbers.items()}

    lines = list(diff.compare(table(100, 95, 105), table(80, 76, 84)))
    assert lines == [("durations time figure=null_call median", "100", "80", "0.800",
                      "0.724..0.884", "less: -20.0%")]  # fmt: skip


def capture(*figures, samples=21):
    text = ""
    for at, figure in enumerate(figures):
        for first in range(0, samples, 10):
            part = " ".join(str(100 * (at + 1) + n) for n in range(first, min(first + 10, samples)))
            text += f"[0 0.5 bench] taken figure={figure}: {part}\r\n"
        text += "[0 0.5 bench] bench done\r\n"
    return text


def test_samples_of_several_lines_are_those_of_one_figure_and_others_are_left_out():
    text = capture("null_call", "page_fault")
    (row,) = reading.times(text, {"figure": "page_fault"}, 1)
    assert (row.samples, row.values["cold"], row.values["median"]) == (21, 200, 210.5)


def test_a_figure_of_too_few_samples_is_said():
    with pytest.raises(reading.PointError, match="4 samples after the cold one"):
        reading.times(capture("null_call", samples=5), {"figure": "null_call"}, 1)


def test_the_capture_of_a_real_machine_is_read_as_if_it_had_been_a_guest(tmp_path, monkeypatch):
    path = tmp_path / "serial.txt"
    path.write_text(capture("local_call", "null_call"))
    monkeypatch.setenv("CONSOLE", str(path))
    monkeypatch.setattr(guests, "FOLDER", str(tmp_path))
    e = load(FILE)
    assert guests.clock_of_time([e]) is guests.Captured
    points = [{"figure": f, "cores": 1, "samples": 201} for f in ("null_call", "stub_call")]
    said = []
    for point in points:
        guests.run(Job(e, "time", [point]), said.append, guests.Captured)
    assert said[0].rows[0]["measures"]["median"] == 210.5
    assert said[0].rows[0]["labels"]["figure"] == "null_call"
    assert said[1].why == "the guest said no row"


def test_without_a_clock_that_means_something_there_are_no_times(monkeypatch):
    monkeypatch.delenv("CONSOLE", raising=False)
    monkeypatch.setattr(doctor, "kvm_runs", lambda: False)
    with pytest.raises(ExperimentError, match="MODE=time needs a clock that means something"):
        guests.clock_of_time([load(FILE)])
    monkeypatch.setattr(doctor, "kvm_runs", lambda: True)
    assert guests.clock_of_time([load(FILE)]) is guests.Skerry


def test_a_capture_that_is_not_there_is_one_sentence(monkeypatch):
    monkeypatch.setenv("CONSOLE", "/nowhere")
    with pytest.raises(ExperimentError, match="CONSOLE=/nowhere: no such file"):
        guests.clock_of_time([load(FILE)])


def test_only_what_starts_by_the_setting_can_be_captured(monkeypatch):
    monkeypatch.setenv("CONSOLE", FILE)
    with pytest.raises(ExperimentError, match="only what starts by the setting"):
        guests.clock_of_time([load(f"{ROOT}/usr/bench/copies.toml")])
