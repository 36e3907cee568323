"""`make test` itself: it must never count a crash, a silence or an unknown as passed."""
import os
import shutil
import subprocess

import test as runner

import pytest

# `test` is also a package of Python's own library; ours must be the one on the path.
assert runner.__file__.endswith("tools/test.py")


@pytest.mark.parametrize(
    "output, code, counts",
    [
        ("[  PASSED  ] 12 tests.\n", 0, [12, 0]),
        ("[  PASSED  ] 11 tests.\n[  FAILED  ] 1 test, listed below:\n", 1, [11, 1]),
        ("[ RUN      ] Arp.X\nAddressSanitizer: heap-use-after-free\n", 1, [0, 1]),
        ("[  PASSED  ] 3 tests.\nLeakSanitizer: detected memory leaks\n", 1, [3, 1]),
    ],
)
def test_googletest_is_counted(output, code, counts):
    assert runner.gtest_counts(output, code) == counts


@pytest.mark.parametrize(
    "output, code, counts",
    [
        ("....\n4 passed in 0.11s\n", 0, (4, 0, 0)),
        ("1 failed, 2 passed, 3 skipped in 9.00s\n", 1, (2, 1, 3)),
        ("1 passed, 2 errors in 1.00s\n", 1, (1, 2, 0)),
        ("INTERNALERROR> boom\n", 3, (0, 1, 0)),
        ("3 passed, 1 warning in 62.50s (0:01:02)\n", 0, (3, 0, 0)),
        ("66 deselected in 0.20s\n", 5, (0, 1, 0)),
    ],
)
def test_pytest_is_counted(output, code, counts):
    assert runner.pytest_counts(output, code) == counts


WITH, WITHOUT = (True, "5 passed, 0 failed"), (False, "5 passed, 1 failed")


@pytest.mark.parametrize("allowed, last", [WITH, WITHOUT])
def test_what_is_missing_fails_unless_allowed(capsys, allowed, last):
    tally = runner.Tally()
    tally.add(5, 0)
    tally.missing.append("tests over TAP: not root")
    runner.report(tally, allowed)
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == last and "not run: tests over TAP: not root" in printed
    assert bool(tally.failed) != allowed


def test_a_binary_that_says_nothing_is_a_failure(tmp_path):
    silent = tmp_path / "silent_tests"
    silent.write_text("#!/bin/sh\n")
    silent.chmod(0o755)
    tally = runner.Tally()
    runner.run_units(tally, [str(silent)])
    assert (tally.passed, tally.failed) == (0, 1)


def test_a_run_of_nothing_is_a_failure(capsys):
    tally = runner.Tally()
    runner.report(tally, False)
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 1 failed"
    assert tally.failed == 1


def test_a_selection_that_matches_nothing_is_named(tmp_path, capfd):
    (tmp_path / "test_a.py").write_text("def test_one():\n    pass\n")
    tally = runner.Tally()
    runner.run_pytest(tally, str(tmp_path), "-k", "typo")
    assert (tally.passed, tally.failed) == (0, 1)
    assert tally.failures == [f"{tmp_path}: no test matches -k typo"]


@pytest.mark.parametrize("value", ["x", "0", "-1", "nan"])
def test_patience_is_checked_before_anything_is_built(value):
    words = ["/usr/bin/python3", "tools/test.py", f"PATIENCE={value}", "ONLY=check"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"test: PATIENCE={value}: must be a number above 0, as 3 or 0.5\n"


@pytest.mark.parametrize(
    "recipe, line, code",
    [
        ("echo 5 passed, 0 failed", "5 passed, 0 failed", 0),
        ("echo 5 passed, 2 failed; exit 1", "5 passed, 2 failed", 1),
        ("echo 24 passed, 0 failed; echo == system; kill -9 $$$$", "0 passed, 1 failed", 1),
        ("echo 0 passed, 0 failed", "0 passed, 1 failed", 1),
        ("true", "0 passed, 1 failed", 1),
        ("false", "0 passed, 1 failed", 1),
    ],
)
def test_ci_takes_no_stages_line_for_that_of_the_run(tmp_path, recipe, line, code):
    """The stage `guest` says a line of its own, long before the end."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(".ci/run", tmp_path / ".ci/run")
    (tmp_path / "Makefile").write_text(f"test:\n\t@{recipe}\n")
    clean = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run([tmp_path / ".ci/run"], capture_output=True, text=True, env=clean)
    assert done.stdout.splitlines()[-1] == line and done.returncode == code
