"""Cores share nothing but what is declared for it: watched on a run of eight cores, as
`make check-isolation` does but shorter; and what breaks the rule is caught, so the watching is
worth something."""
import os

import isolation
import pytest
from skerry import BUILD

REQUESTS = 60


@pytest.fixture(autouse=True)
def plugin():
    if not os.path.exists(f"{BUILD}/plugin/isolation.so"):
        pytest.fail("the isolation plugin is not built: make plugins")
    isolation.make_plain()


def test_nothing_is_shared_whatever_memory_moves():
    output, answered = isolation.observe(BUILD, "plain", REQUESTS)
    assert not list(isolation.complaints(output, answered, REQUESTS))
    assert output.violations == []


def planted(plant):
    """What is seen of a build with that fault, over its boot and a few requests."""
    build = isolation.folder_of(plant)
    isolation.make_planted(build, plant)
    output, answered = isolation.observe(build, plant.lower(), 5, isolation.load)
    assert answered == 5
    found = output.violations
    where = isolation.symbol(build, found[0].other_pc)
    return {v.what for v in found}, {v.line for v in found}, where


def test_a_planted_shared_counter_is_caught():
    kinds, lines, where = planted("PLANTED_SHARED_COUNTER")
    assert kinds == {isolation.PLANTS["PLANTED_SHARED_COUNTER"]}
    assert len(lines) == 1 and where.startswith("cpu_")


def test_a_move_that_is_announced_but_not_made_is_caught():
    kinds, _, where = planted("PLANTED_FALSE_MOVE")
    assert isolation.PLANTS["PLANTED_FALSE_MOVE"] in kinds and where.startswith("cpu_")
