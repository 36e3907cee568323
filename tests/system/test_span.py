"""A domain on several cores: right results, what an unmap costs in messages, nothing left of it."""
import time

import pytest
from clients import domains

SUMS = ("sum", "product", "primes", "waves")


def start(boot, cores, arguments):
    guest = boot(CORES=cores, NIC="none")
    guest.wait_for(r"Type help", 120)
    guest.command(f"spawn parallel on 0 {arguments}")
    return guest


def parts(guest, state="running"):
    return [d for d in domains(guest) if d["name"] == "parallel" and d["state"].startswith(state)]


@pytest.mark.parametrize("cores", [1, 2, 4])
def test_all_cores_come_to_the_right_result(boot, cores):
    guest = start(boot, cores, cores)
    for what in SUMS:
        guest.wait_for(rf"{what} on {cores} cores: right", 120)
    # One message to each worker and one back, and nothing else.
    guest.wait_for(rf"unmap on {cores} cores: {2 * cores} messages, dirty", 60)
    guest.wait_for(r"parallel done: right", 60)
    guest.wait_for(r"domain parallel ended with code 0", 60)


def test_a_kill_takes_all_parts_away(boot):
    guest = start(boot, 2, "2 stay")
    guest.wait_for(r"parallel done: right", 120)
    found = parts(guest)
    assert len(found) == 3  # the home and two workers
    # CORE.NUMBER: the home is the first of its core, and started the others.
    home = min((d["id"] for d in found), key=lambda i: [int(part) for part in i.split(".")])
    guest.command(f"kill {home}")
    deadline = time.monotonic() + 30
    while parts(guest) and time.monotonic() < deadline:
        pass  # each look is a command of the guest
    assert not parts(guest)
