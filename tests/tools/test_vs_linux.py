"""`make vs-linux` on made-up measurements: rows, ratios, what the plugin saw, bad input."""
import os
import sys

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
sys.path[:0] = [os.path.join(ROOT, "tools"), os.path.join(ROOT, "tools/vs_linux")]
import clients  # noqa: E402
import counts  # noqa: E402
import linux  # noqa: E402
import measure  # noqa: E402
import rows  # noqa: E402
from count_output import Counts  # noqa: E402
from rows import RowError, Value  # noqa: E402

from guest import GuestError  # noqa: E402

KNOWN = {"linux": {"call", "pipe"}, "skerry": {"call"}}
ROW = """[[row]]
title = "a call"
unit = "instructions"
linux = ["call", "pipe"]
skerry = ["call"]
how = "both"
"""


def load(tmp_path, text):
    path = tmp_path / "rows.toml"
    path.write_text(text)
    return rows.load(str(path), KNOWN)


WRONG = [
    ('how = "both"', "", "a call: how: is missing"),
    ('unit = "instructions"', 'unit = "pounds"', "a call: unit: must be one of"),
    ('"pipe"', '"tube"', "a call: linux: nothing measures 'tube'"),
    ('how = "both"', 'how = "both"\nspeed = 1', "a call: speed: no such key"),
    ('skerry = ["call"]', "skerry = []", "a call: path: is missing"),
    ('skerry = ["call"]', 'skerry = "call"', "a call: skerry: must be of type list"),
    ('title = "a call"', "title =", "Invalid value"),
]


@pytest.mark.parametrize("old, new, says", WRONG)
def test_a_wrong_row_is_one_sentence_with_its_key(tmp_path, old, new, says):
    with pytest.raises(RowError, match=says) as error:
        load(tmp_path, ROW.replace(old, new))
    assert len(str(error.value).splitlines()) == 1


def test_the_best_of_linux_counts_and_less_is_better(tmp_path):
    (row,) = load(tmp_path, ROW)
    found = {"call": [Value(900), Value(700)], "pipe": [Value(1000)]}
    assert rows.side(row, "linux", found) == [900, 700]
    assert rows.ratio(row, [800], [400]) == 2
    assert rows.verdict(row, 2.0) == "ahead" and rows.verdict(row, 0.5) == "behind"
    assert rows.verdict(row, 1.002) == "equal"
    assert rows.ratio(row, [], [400]) is None


def test_rates_are_better_when_they_are_higher():
    row = {"unit": "per_s", "linux": ["a"], "skerry": ["a"]}
    assert rows.ratio(row, [100], [250]) == 2.5
    both = row | {"linux": ["a", "b"]}
    assert rows.side(both, "linux", {"a": [Value(1)], "b": [Value(9)]}) == [9]


def test_zeroing_is_taken_off_where_the_row_says_so():
    row = {"unit": "instructions", "zeroing": True, "linux": ["a"], "skerry": ["a"]}
    assert rows.side(row, "linux", {"a": [Value(2500, 512)]}) == [1988]


def test_the_table_says_behind_and_why_nothing_was_measured(tmp_path):
    text = ROW + ROW.replace('["call", "pipe"]', "[]") + 'path = "needs two cards"\n'
    table = load(tmp_path, text)
    lines = list(rows.lines(table, {"call": [Value(10)]}, {"call": [Value(20)]}))
    assert "0.50" in lines[1] and "behind" in lines[1]
    assert " -  " in lines[2] and "needs two cards" in lines[2]


def passed(*instructions):
    return [Counts(n, 0, 0) for n in instructions]


def test_samples_belong_to_figures_in_their_order():
    text = "sampled empty 2\nsampled nops 1\nsampled yield_alone 1\nsampled yield_pair 1\n"
    found = measure.sampled(text, passed(5, 5, 1005, 805, 4005))
    assert found["nops"].amount == 1000
    assert found["switch"].amount == 4000 // 2 - 800


def test_samples_that_are_missing_are_no_figure():
    with pytest.raises(GuestError, match="saw 1 samples, Linux lists 2"):
        measure.sampled("sampled empty 2\n", passed(5))


def test_wrong_counting_is_found_by_the_nops():
    with pytest.raises(GuestError, match="1,000 NOPs takes 1990"):
        measure.sampled("sampled empty 1\nsampled nops 1\n", passed(5, 1995))


def test_what_lies_between_two_echoes_is_what_the_client_did():
    at = list(range(0, 7))
    marks = passed(0, 100, 100 + 200 * 7 + 100, 3000, 4000, 5000, 6000)
    found = measure.between_echoes(marks, at, clients.COUNTED)
    assert found["udp_echo"].amount == 100
    assert found["http_request"].amount == 7


def test_a_lost_echo_is_told():
    with pytest.raises(GuestError, match="saw 3 echoes, 7 were sent"):
        measure.between_echoes(passed(0, 100, 200), list(range(0, 7)), clients.COUNTED)


def test_every_row_of_the_file_can_be_measured():
    import importlib.util

    path = os.path.join(ROOT, "tools/vs_linux/__main__.py")
    spec = importlib.util.spec_from_file_location("vs_linux_main", path)
    main = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(main)
    assert rows.load(main.FILE, main.known_names(counts.load_figures()))
    results = main.Results()
    def no_card():
        raise OSError("no card")

    results.take("linux", "boot", no_card)
    assert results.complaints == ["linux: boot: no card"]


def test_the_first_file_system_is_what_cpio_reads():
    files = {"dev": (0o040755, b""), "init": (0o100755, b"abcde")}
    content = linux.archive(files)
    assert content[:6] == b"070701" and content.count(b"070701") == 3 and len(content) % 4 == 0
    assert b"init\0" in content and b"abcde" in content


def test_a_frame_to_be_forwarded_has_a_right_header():
    frame = clients.datagram(7)
    assert len(frame) == 14 + 20 + 8 + 64 and frame[:6] == clients.MAC
    assert clients.checksum(frame[14:34]) == 0
