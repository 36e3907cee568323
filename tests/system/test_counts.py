#!/usr/bin/python3
"""The figures of `make counts` that are exact: the same in every run, and as they were agreed on.

tests/baseline.json holds some of them. A change that moves one of the equal ones writes the new
number there, in the same commit, and says in its message why; this file run as a program does the
writing. Those that are near depend on the shape of the capability tree, so on who else is there.
"""
import json
import os
import sys

import pytest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TESTS, "../tools"))
import counts  # noqa: E402
import longest  # noqa: E402
from guest import BUILD  # noqa: E402

BASELINE = os.path.join(TESTS, "baseline.json")
SAMPLES = 20
# Each from another part of the system.
EQUAL = ("null_call", "yield_alone", "zero_page", "local_call", "local_call_1024", "yield_pair",
         "wake_same_core", "channel_send", "channel_receive", "channel_notify", "stub_call",
         "timer_set", "timer_cancel")  # fmt: skip
NEAR = ("page_fault", "map_bare", "protect", "cap_copy", "cap_delete", "cap_retype", "cap_revoke",
        "allocate", "name_lookup", "spawn")  # fmt: skip
SLACK = 1.1
LONGEST = 8000  # instructions with interrupts off, of what usr/bench does: docs/counts.md


@pytest.fixture(scope="module")
def runs():
    if not os.path.exists(f"{BUILD}/plugin/insncount.so"):
        pytest.fail("the counting plugin is not built: make plugins")
    counts.write_symbols(counts.FOLDER)
    return [counts.run_bench(SAMPLES) for _ in range(2)]


def test_two_runs_count_the_same(runs):
    assert runs[0] == runs[1]


def test_a_thousand_nops_are_a_thousand(runs):
    assert abs(runs[0]["nops"].median - 1000) <= 2


@pytest.fixture(scope="module")
def agreed():
    with open(BASELINE) as f:
        return json.load(f)


def test_figures_are_what_was_agreed_on(runs, agreed):
    now = {name: runs[0][name].median for name in agreed["equal"]}
    assert now == agreed["equal"], "commit a changed tests/baseline.json together with its reason"


def test_figures_that_depend_on_the_tree_have_not_grown(runs, agreed):
    grown = {name: (runs[0][name].median, value) for name, value in agreed["near"].items()
             if runs[0][name].median > value * SLACK}  # fmt: skip
    assert not grown, "now, agreed"


@pytest.mark.parametrize("cores, messages", [(3, 6), (8, 10)])
def test_what_other_cores_borrowed_comes_back(cores, messages):
    """Two messages a borrower, of whom the owner asks a few and they the others."""
    assert counts.run_lent(cores).note.startswith(f"{messages} messages, ")


def test_interrupts_wait_no_longer_than_is_stated():
    paths, _ = longest.measured(["bench"], longest.symbols())
    assert {"cnode_retype", "core_start"} <= set(paths)
    assert paths["core_start"].most > 512 * 4, "not as many blocks have left as may at once"
    assert {name: path.most for name, path in paths.items() if path.most > LONGEST} == {}


def main():
    """Writes the baseline anew."""
    os.chdir(counts.ROOT)
    counts.write_symbols(counts.FOLDER)
    found = counts.run_bench(SAMPLES)
    kinds = {"equal": EQUAL, "near": NEAR}
    agreed = {kind: {name: found[name].median for name in names} for kind, names in kinds.items()}
    with open(BASELINE, "w") as f:
        json.dump(agreed, f, indent=4)
        f.write("\n")


if __name__ == "__main__":
    main()
