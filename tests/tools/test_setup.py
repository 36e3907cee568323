"""tools/setup.sh with pretended package tools: quiet when nothing is missing, clear when it is."""
import os
import shutil
import subprocess

import pytest
from skerry import ROOT

LIST = "# comment\nalpha    one thing\nbeta-2   another\n"
APT = '#!/bin/sh\necho "$@" >> "$LOG"\ncase "$*" in *"$FAIL"*) exit 100;; esac\n'


@pytest.fixture
def setup(tmp_path):
    """setup(installed, root) runs it; the result has what apt-get was asked in `asked`."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy(os.path.join(ROOT, "tools/setup.sh"), tmp_path / "tools/setup.sh")
    (tmp_path / "tools/packages.txt").write_text(LIST)

    def program(name, text):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)

    for name in ("dirname", "sed", "env", "cat", "sh"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))

    def run(installed, root=True, fail="nothing", apt=True):
        lines = "".join(f"ii  {name}\\n" for name in installed)
        program("dpkg-query", f"#!/bin/sh\nprintf '{lines}'\n")
        program("id", f"#!/bin/sh\necho {0 if root else 1000}\n")
        if apt:
            program("apt-get", APT)
        log = tmp_path / "log"
        environment = {"PATH": str(tmp_path / "bin"), "LOG": str(log), "FAIL": fail}
        done = subprocess.run(
            ["/bin/sh", str(tmp_path / "tools/setup.sh")], env=environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        done.asked = log.read_text().splitlines() if log.exists() else []
        return done

    return run


def test_nothing_missing_is_quiet(setup):
    done = setup(["alpha", "beta-2"])
    assert (done.returncode, done.stdout, done.stderr, done.asked) == (0, "", "", [])


def test_root_gets_what_is_missing_and_nothing_else(setup):
    done = setup(["alpha"])
    assert done.returncode == 0 and len(done.asked) == 1
    assert done.asked[0].startswith("install -y") and done.asked[0].endswith(" beta-2")


def test_old_package_lists_are_updated_first(setup):
    done = setup(["alpha"], fail="install")
    assert [line.split()[0] for line in done.asked] == ["install", "update", "install"]
    assert done.returncode != 0


def test_without_root_it_prints_the_line_and_stops(setup):
    done = setup([], root=False)
    assert done.returncode == 1 and done.asked == []
    line = "apt-get update && apt-get install -y --no-install-recommends alpha beta-2"
    assert line in done.stderr.splitlines()[1]


def test_another_distribution_is_told_what_is_wanted(setup):
    done = setup([], apt=False)
    assert done.returncode == 1 and "Skerry builds on Debian 12 with: alpha beta-2" in done.stderr
