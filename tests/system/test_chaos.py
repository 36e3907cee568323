"""A domain that does its worst, while the rest of the system serves: tests/hostile/usr/chaos
invokes anything with anything on one core, and HTTP goes on being answered on the others.
`make chaos` takes longer.
"""
import random
import re

import pytest
from clients import page, running, state_of
from skerry import LONG

SERVICES = {"console", "pci", "netd", "httpd", "netsvc", "shell", "e1000"}
CALLS = 20000
SEEDS = [1, 2, 3] + ([random.randrange(1 << 32) for _ in range(20)] if LONG else [])
MOST_REQUESTS = 400  # a domain that has stopped itself says nothing more


@pytest.mark.parametrize("core", [0, 1])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_system_serves_on_whatever_one_domain_does(abused, seed, core):
    before = running(abused)
    assert SERVICES <= set(before)
    start = abused.position = len(abused.text)
    spawned = abused.command(f"spawn chaos on {core} {CALLS} {seed}")
    number = re.search(rf"({core}\.\d+) chaos runs", spawned)[1]
    ended = re.compile(r"domain chaos (ended|on core \d+ (faulted|stopped))")
    requests = 0
    while requests < MOST_REQUESTS and not ended.search(abused.text, start):
        assert page(abused) == 200, f"seed {seed}"
        requests += 1
    if state_of(abused, number) == "running":
        abused.command(f"kill {number}")
    assert requests > 0
    assert page(abused) == 200
    assert running(abused) == before
    said = abused.text[start:]
    assert f"chaos: seed {seed}" in said
    assert not re.search(r"panic|core \d+ halted|let me in", said)
