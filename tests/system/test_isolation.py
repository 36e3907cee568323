"""CPU drivers share no memory: watched on a run of four cores under load, as `make check-isolation`
does; and one that shares a word is caught, so the watching is worth something."""
import os

import isolation
import pytest
from skerry import BUILD


@pytest.fixture(autouse=True)
def plugin():
    if not os.path.exists(f"{BUILD}/plugin/isolation.so"):
        pytest.fail("the isolation plugin is not built: make plugins")


def test_cpu_drivers_share_nothing_over_boot_and_load():
    output, answered = isolation.observe(BUILD, "plain")
    assert not list(isolation.complaints(output, answered))
    assert output.violations == []


def test_a_planted_shared_counter_is_caught():
    build = os.path.join(BUILD, "planted")
    isolation.make_planted(build)
    output, answered = isolation.observe(build, "planted")
    assert not list(isolation.complaints(output, answered))
    assert len({v.line for v in output.violations}) == 1
    assert isolation.symbol(build, output.violations[0].owner_pc).startswith("cpu_")
