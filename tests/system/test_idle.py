"""An idle machine sleeps: counted is what it does, and asked how long nobody wanted the cores."""
import os
import time

from clients import cores, domains, slept_between, spawn
from skerry import LONG

SECONDS = 10 if LONG else 5
# Timers of the stack and the guest's own questions (ARP, DHCP) may wake somebody now and then; and
# the two commands that read the counts are themselves dispatches.
MOST_HALTS = MOST_DISPATCHES = 40 * SECONDS
LEAST_IDLE_MS = 500  # a second, half: the host may take its time while somebody runs


def figures(guest):
    return cores(guest), sum(int(row["dispatches"]) for row in domains(guest))


def halts(table):
    return sum(int(row["halts"]) for row in table)


def process_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_nothing_happens_on_an_idle_machine(guest):
    table, dispatches = figures(guest)
    used = process_seconds(guest.qemu_pid())
    time.sleep(SECONDS)  # the time that is looked at
    used = process_seconds(guest.qemu_pid()) - used
    after, more = figures(guest)
    print(f"idle: QEMU used {100 * used / SECONDS:.1f} % of a host core over {SECONDS} s")
    assert halts(after) - halts(table) < MOST_HALTS, (table, after)
    assert more - dispatches < MOST_DISPATCHES, (dispatches, more)
    slept = slept_between(table, after)
    assert min(slept.values()) >= LEAST_IDLE_MS * SECONDS, slept


def test_a_core_on_which_somebody_spins_is_not_idle(abused):
    """So what the test above asks can fail; halts and dispatches are no sign of it."""
    number = spawn(abused, "faulty on 2 spin")
    table = cores(abused)
    time.sleep(1)  # the time that is looked at
    slept = slept_between(table, cores(abused))
    abused.command(f"kill {number}")
    assert slept["2"] < LEAST_IDLE_MS and min(slept["1"], slept["3"]) > 0, slept


def test_every_core_has_halted(guest):
    for row in cores(guest):
        assert int(row["halts"]) > 0, row
