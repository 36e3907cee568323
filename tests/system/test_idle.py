"""An idle machine sleeps: counted is what it does, as how long that takes is the host's affair."""
import os
import time

from clients import cores, domains
from skerry import LONG

SECONDS = 10 if LONG else 5
# Timers of the stack and the guest's own questions (ARP, DHCP) may wake somebody now and then; and
# the two commands that read the counts are themselves dispatches.
MOST_HALTS = MOST_DISPATCHES = 200


def figures(guest):
    halts = sum(int(row["halts"]) for row in cores(guest))
    dispatches = sum(int(row["dispatches"]) for row in domains(guest))
    return halts, dispatches


def process_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_nothing_happens_on_an_idle_machine(guest, record_property):
    before = figures(guest)
    used = process_seconds(guest.qemu_pid())
    time.sleep(SECONDS)  # the time that is looked at
    used = process_seconds(guest.qemu_pid()) - used
    after = figures(guest)
    print(f"idle: QEMU used {100 * used / SECONDS:.1f} % of a host core over {SECONDS} s")
    assert after[0] - before[0] < MOST_HALTS, (before, after)
    assert after[1] - before[1] < MOST_DISPATCHES, (before, after)


def test_every_core_has_halted_and_was_mostly_idle(guest):
    for row in cores(guest):
        assert int(row["halts"]) > 0, row
        assert float(row["idle %"]) > 0, row
