"""`make counts`: what it reads from a run, and what it says of it."""
import count_output
import counts

SERIAL = """\
[3 0.500000 bench] count null_call 75
count local_call 345
[3 0.600000 bench] window spawn 16 4
[3 0.600000 bench] window never 40 4
[3 0.700000 bench] bench counts nothing 12 apples
[3 0.700000 bench] bench done
"""


def output(*events):
    lines = [f"E {marker} 0 {n} 0 0 {n} 0 0" for marker, n in events]
    return count_output.parse(lines)


def test_the_guests_own_counts_are_read():
    assert counts.direct_counts(SERIAL) == {"null_call": 75, "local_call": 345}


def test_windows_are_divided_by_their_operations():
    passed = output((16, 100), (17, 301), (16, 1000), (17, 1401), (2, 5000))
    assert counts.window_counts(SERIAL, passed) == {"spawn": 100}


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
