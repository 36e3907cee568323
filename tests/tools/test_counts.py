"""`make counts`: what it reads from a run, and what it says of it."""
import subprocess

import count_output
import counts
import counts_table
import pytest
from skerry import GuestError

SERIAL = """\
[0 0.500000 bench] protect could not be measured: no memory
[0 0.500000 bench] count null_call 3 75 76 80
[0 0.500000 bench] count local_call 2 345 345 346
[0 0.600000 bench] bench counts nothing 12 apples
[0 0.700000 bench] bench done
"""


def output(*samples):
    lines, now = [], 1000
    for sample in samples:
        for marker, n in ((16, now), (17, now + sample)):
            lines.append(f"E {marker} 0 0 0 0 0 0 {n} 0 0 0 0")
        now += 10 * sample
    return count_output.parse(lines)


def test_samples_go_to_figures_in_order():
    found = counts.bench_counts(SERIAL, output(76, 500, 75, 346, 347))
    assert {name: f.median for name, f in found.items()} == {"null_call": 76, "local_call": 347}
    assert (found["null_call"].mean, found["null_call"].worst) == (217, 500)


def test_the_harness_takes_itself_off():
    serial = "count empty 1 13 13 13\ncount null_call 1 75 75 75\n"
    assert counts.bench_counts(serial, output(5, 80)) == {"null_call": counts.Figure(75, 75, 75)}


def test_samples_that_do_not_add_up_are_refused():
    with pytest.raises(GuestError, match="4 samples seen, but the guest lists 5"):
        counts.bench_counts(SERIAL, output(1, 2, 3, 4))


def test_the_guests_clock_and_complaints_are_read():
    assert counts.sampled(SERIAL)[0] == counts.Sampled("null_call", 3, 75, 76, 80)
    assert counts.complaints(SERIAL) == ["protect could not be measured: no memory"]


def test_every_figure_is_complete():
    figures = counts.load_figures()
    assert len({f["id"] for f in figures}) == len(figures)
    for figure in figures:
        assert figure["how"] in ("bench", "remote", "host", "direct", "span", "group", "lent",
                                  "elsewhere")
        assert figure["title"]
        assert figure.get("target", 1) > 0
        assert figure["how"] != "host" or figure["service"] in counts.DRIVERS
        assert (figure["how"] in ("span", "group", "lent")) == ("cores" in figure)
        assert (figure["how"] == "elsewhere") == ("where" in figure)


def test_differences_are_taken_where_both_are_known():
    found = {"yield_pair": counts.Figure(812), "yield_alone": counts.Figure(288)}
    counts.derive(found)
    assert found["space_switch"].median == 118 and "wake_other_core" not in found


def test_the_clock_is_held_against_the_plugin():
    known = {"null_call": counts.Figure(75), "local_call": counts.Figure(380)}
    assert counts.disagreements(SERIAL, known) == [
        "local_call: 345 by the clock, 380 by the plugin"
    ]


def test_the_table_shows_value_target_and_others():
    figure = {"id": "a", "title": "an operation", "target": 100, "linux": "1,000", "how": "bench"}
    low, high = counts.Figure(90, 91, 95), counts.Figure(250, 250, 260)
    _, row = counts_table.table([figure], [{"a": low}])
    assert row.split() == ["an", "operation", "90", "<=", "100", "met", "95", "1,000"]
    _, row = counts_table.table([figure], [{"a": low}, {"a": high}])
    assert row.split() == ["an", "operation", "90-250", "<=", "100", "2.5", "x", "95-260", "1,000"]
    _, row = counts_table.table([figure], [{}])
    assert row.split() == ["an", "operation", "-", "<=", "100", "1,000"]


def test_fences_and_interrupts_sent_stand_beside_the_figure():
    figure = {"id": "a", "title": "message", "how": "bench"}
    _, row = counts_table.table([figure], [{"a": counts.Figure(25, 25, 26, 0, 1, 2)}])
    assert row.split() == ["message", "25", "26", "1", "2"]
    events = ["E 16 0 0 0 0 0 0 100 0 0 3 1", "E 17 0 0 0 0 0 0 125 0 0 4 3"]
    passed = counts.figure_of(count_output.parse(events).between(16, 17))
    assert (passed.median, passed.fences, passed.ipis) == (25, 1, 2)


def test_zeroing_is_no_part_of_a_figure():
    figure = {"id": "a", "title": "page", "target": 400, "zeroed_bytes": 4096, "how": "bench"}
    _, row = counts_table.table([figure], [{"a": counts.Figure(900, 900, 912, 520)}])
    assert row.split() == ["page", "388", "<=", "400", "met", "400", "8"]


def test_what_is_measured_elsewhere_says_where():
    where = {"how": "elsewhere", "where": "vs-linux"}
    figure = {"id": "a", "title": "threads", "target": 600, **where}
    _, row = counts_table.table([figure], [{}])
    assert row.split() == ["threads", "vs-linux", "<=", "600"]


@pytest.mark.parametrize(
    "error",
    [GuestError("no prompt"), OSError("no plugin"), ValueError("unknown line"),
     subprocess.TimeoutExpired("run.py", 60)],
)  # fmt: skip
def test_what_cannot_be_measured_is_said_and_the_rest_goes_on(capsys, error):
    def fails():
        raise error

    assert list(counts.attempt("span", fails)) == []
    assert capsys.readouterr().err == f"span: {error}\n"


def test_a_revoke_without_its_line_cannot_be_measured(monkeypatch):
    serial = "count empty 1 13 13 13\ncount lent_revoke 1 75 75 75\n"
    monkeypatch.setattr(counts, "boot_bench", lambda *_, **__: (serial, output(5, 80)))
    with pytest.raises(GuestError, match="how many messages go to 2 cores"):
        counts.run_lent(2)


def test_what_was_not_measured_fails_the_run(monkeypatch, capsys):
    measured = {"null_call": counts.Figure(75), "space_switch": counts.Figure(118)}
    monkeypatch.setattr(counts, "measure", lambda _: measured)
    monkeypatch.setattr(counts, "write_symbols", lambda _: None)
    counts.main(["null_call", "forward"])
    with pytest.raises(SystemExit, match="counts: not measured: local_call"):
        counts.main(["null_call", "local_call"])
    assert "null call" in capsys.readouterr().out


@pytest.mark.parametrize("value", ["x", "0", "-1"])
def test_how_often_is_a_number(monkeypatch, value):
    monkeypatch.setenv("REPEAT", value)
    with pytest.raises(SystemExit, match=f"counts: REPEAT={value}: must be a number from 1 to"):
        counts.main(["null_call"])
