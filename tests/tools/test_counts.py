"""`make counts`: what it reads from a run, and what it says of it."""
import count_output
import counts
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
            lines.append(f"E {marker} 0 0 0 0 {n} 0 0")
        now += 10 * sample
    return count_output.parse(lines)


def test_samples_go_to_figures_in_order():
    found = counts.bench_counts(SERIAL, output(76, 500, 75, 346, 347))
    assert found == {"null_call": 75, "local_call": 346}


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
        assert figure["how"] in ("bench", "host", "image") and figure["title"]
        assert figure["target"] > 0
        assert figure["how"] != "host" or figure["service"] in counts.DRIVERS


def test_the_table_shows_value_target_and_others():
    figure = {"id": "a", "title": "an operation", "target": 100, "linux": "1,000", "how": "bench"}
    _, row = counts.table([figure], [{"a": 90}])
    assert row.split() == ["an", "operation", "90", "<=", "100", "met", "1,000"]
    _, row = counts.table([figure], [{"a": 90}, {"a": 250}])
    assert row.split() == ["an", "operation", "90-250", "<=", "100", "2.5", "x", "1,000"]
    _, row = counts.table([figure], [{}])
    assert row.split() == ["an", "operation", "-", "<=", "100", "1,000"]
