"""A domain on several cores: right results, what an unmap costs in messages, nothing left of it."""
import time

import pytest
from clients import cores, domains, slept_between
from skerry import PATIENCE

SUMS = ("sum", "product", "primes", "waves", "rights", "interruptions", "registers")


def start(boot, count, arguments):
    guest = boot(CORES=count, NIC="none")
    if count > 1:  # it spans those that are up
        guest.wait_for(rf"cores {count} of {count} are up", 120)
    guest.wait_for(r"Type help", 120)
    guest.command(f"spawn parallel on 0 {arguments}")
    return guest


def parts(guest, state="running"):
    return [d for d in domains(guest) if d["name"] == "parallel" and d["state"].startswith(state)]


def wait_until_none(guest, *states):
    deadline = time.monotonic() + 30 * PATIENCE
    while any(parts(guest, state) for state in states) and time.monotonic() < deadline:
        pass  # each look is a command of the guest
    assert not any(parts(guest, state) for state in states)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_all_cores_come_to_the_right_result(boot, count):
    guest = start(boot, count, count)
    for what in SUMS:
        guest.wait_for(rf"{what} on {count} cores: right", 120)
    # Along the tree that the costs say, which the monitors have measured by now.
    guest.wait_for(rf"group of {count}: \S+ tree, costs of revision [1-9]", 60)
    guest.wait_for(rf"group on {count} cores: right", 60)
    # One message to each worker and one back, and nothing else.
    guest.wait_for(rf"unmap on {count} cores: {2 * count} messages, dirty", 60)
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
    wait_until_none(guest, "running")


def test_the_death_of_a_worker_ends_the_domain(boot):
    """Threads wait for each other: it does not live on with a part of it gone."""
    guest = start(boot, 2, "2 stay")
    guest.wait_for(r"parallel done: right", 120)
    worker = next(d["id"] for d in parts(guest) if d["id"].startswith("1."))
    start_of_end = len(guest.text)
    guest.command(f"kill {worker}")
    guest.position = start_of_end  # it may be said before the prompt comes back
    guest.expect(r"worker 1 on core 1 is gone")
    guest.wait_for(r"domain parallel ended with code -1", 60)
    wait_until_none(guest, "running", "ending")


def test_workers_without_work_sleep(boot):
    guest = start(boot, 2, "2 stay")
    guest.wait_for(r"parallel done: right", 120)
    before = cores(guest)
    time.sleep(3)  # the time that is looked at
    after = cores(guest)
    woken = [int(b["halts"]) - int(a["halts"]) for a, b in zip(before, after)]
    assert sum(woken) < 200, (before, after)
    slept = slept_between(before, after)
    assert min(slept.values()) >= 1500, slept  # half, as in test_idle.py
    assert len(parts(guest)) == 3


def test_two_of_them_do_not_know_of_each_other(boot):
    guest = start(boot, 2, "2 stay")
    guest.wait_for(r"parallel done: right", 120)
    guest.command("spawn parallel on 1 2")
    guest.wait_for(r"1 [\d.]+ parallel\] parallel done: right", 120)
    guest.wait_for(r"domain parallel ended with code 0", 60)
    assert len(parts(guest)) == 3
