"""A domain that does its worst, while the rest of the system serves: tests/hostile/usr/chaos
invokes anything with anything on one core, and HTTP goes on being answered on the others.
`make chaos` takes longer.
"""
import random
import re

import pytest
from clients import domains, get
from conftest import wait_until_ready
from skerry import LONG, Skerry, image_with

SERVICES = {"console", "pci", "netd", "httpd", "netsvc", "shell", "e1000"}
CALLS = 20000
SEEDS = [1, 2, 3] + ([random.randrange(1 << 32) for _ in range(20)] if LONG else [])
MOST_REQUESTS = 400  # a domain that has stopped itself says nothing more


@pytest.fixture(scope="module")
def world():
    guest = wait_until_ready(Skerry("chaos", CORES=4, ISO=image_with()))
    yield guest
    guest.stop()


def state_of(guest, number):
    return next((d["state"] for d in domains(guest) if d["id"] == number), "gone")


def running(guest):
    return {d["name"]: d["id"] for d in domains(guest) if d["state"] == "running"}


def page(guest):
    return get(("127.0.0.1", guest.port("tcp:80")), "/")[0]


@pytest.mark.parametrize("core", [0, 1])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_system_serves_on_whatever_one_domain_does(world, seed, core):
    before = running(world)
    assert SERVICES <= set(before)
    start = world.position = len(world.text)
    spawned = world.command(f"spawn chaos on {core} {CALLS} {seed}")
    number = re.search(rf"({core}\.\d+) chaos runs", spawned)[1]
    ended = re.compile(r"domain chaos (ended|on core \d+ (faulted|stopped))")
    requests = 0
    while requests < MOST_REQUESTS and not ended.search(world.text, start):
        assert page(world) == 200, f"seed {seed}"
        requests += 1
    if state_of(world, number) == "running":
        world.command(f"kill {number}")
    assert requests > 0
    assert page(world) == 200
    assert running(world) == before
    said = world.text[start:]
    assert f"chaos: seed {seed}" in said
    assert not re.search(r"panic|core \d+ halted|let me in", said)
