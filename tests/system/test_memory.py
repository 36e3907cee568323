"""Address spaces in the real system: memory on demand, parts of mappings, guard pages, large pages.
tests/hostile/usr/mapper looks from the inside, the shell says how it ended."""
import re

import pytest
from clients import outcome, spawn
from skerry import image_with


def run(guest, argument, core=1):
    """Spawns tests/hostile/usr/mapper; its number in `ps`."""
    return spawn(guest, f"mapper on {core} {argument}")


def end_of(guest, number):
    """A fault is told before the domain has ended; each look takes a command."""
    for _ in range(100):
        state = outcome(guest, number)
        if state[0] != "running":
            break
    return state


@pytest.mark.parametrize("argument", ["demand", "parts"])
def test_an_address_space_is_as_promised(guest, argument):
    number = run(guest, argument)
    guest.expect(r"domain mapper ended with code 0|not so|mapper on core \d faulted")
    assert end_of(guest, number) == ("exited", "0")


@pytest.mark.parametrize("argument", ["guard", "unmapped", "readonly"])
def test_a_touch_of_nothing_ends_the_domain(guest, argument):
    number = run(guest, argument)
    end = guest.expect(r"domain mapper on core 1 faulted: (.*)\n|not so|ended with code")
    assert end[1] and end[1].startswith("write of 000011")
    assert end_of(guest, number)[0] == "faulted"


def test_out_of_memory_names_the_quota(guest):
    number = run(guest, "exhaust")
    guest.expect(r"mapper says: no memory on demand: the quota is used up \(quota \d+ KiB")
    assert end_of(guest, number)[0] == "faulted"
    guest.says_nothing_like("not so: commit")


def test_slots_are_enough_for_the_mappings_that_are_promised(guest):
    number = run(guest, "slots with quota=32768")
    end = guest.expect(r"mapper says: mapper: (\d+) granules, then (.*)\n", 120)
    assert 3700 <= int(end[1]) <= 3969 and "slots" in end[2]
    assert end_of(guest, number) == ("exited", "0")


def test_large_frames_have_large_pages_and_can_be_taken_back(boot):
    guest = boot(CORES=1, MEM="4G", NIC="none", COUNT="mapper:1:1", ISO=image_with())
    guest.expect(r"domain mapper ended with code 0|not so|mapper on core \d faulted", 120)
    line = r"mapper: (\d+) MiB in view, (\d+) slots"
    taken = {int(m): int(s) for m, s in re.findall(line, guest.text)}
    assert "ended with code 0" in guest.text
    # One Mapping each, and what the first of a size keeps ready for its death.
    assert taken[64] == 1 and taken[1024] < 64


@pytest.mark.parametrize("core", [1, 2])
def test_a_live_domain_does_not_fault_when_its_peer_dies(guest, core):
    """The server writes to its client's memory all the time, on the same core and across."""
    server = run(guest, "serve", 1)
    client = run(guest, "hold", core)
    guest.expect("mapper says: mapper: held")
    start = guest.position
    guest.command(f"kill {client}")
    guest.position = start  # it may be said before the prompt comes back
    end = guest.expect(r"mapper says: mapper: what was shown has gone|mapper on core 1 faulted")
    assert "faulted" not in end[0]
    assert outcome(guest, server)[0] == "running"
    assert end_of(guest, client)[0] == "killed"
    guest.command(f"kill {server}")


@pytest.mark.parametrize("core", [1, 2])
def test_shared_memory_can_be_taken_back_while_it_is_written_to(guest, core):
    """Of large pages, on the same core and across; the server is not asked."""
    server = run(guest, "serve", 1)
    start = len(guest.text)
    client = run(guest, "revoke", core)
    guest.position = start
    end = guest.expect(r"mapper says: mapper: taken back|not so|faulted")
    assert "taken back" in end[0]
    guest.position = start
    end = guest.expect(r"mapper says: mapper: what was shown has gone|mapper on core 1 faulted")
    assert "faulted" not in end[0]
    assert outcome(guest, server)[0] == "running"
    assert end_of(guest, client) == ("exited", "0")
    guest.command(f"kill {server}")


def given_memory(guest, cores):
    """{core: (KiB, first address, node)} as who starts it says: with those of the cores below."""
    given = {}
    for core in range(1, cores):
        # Of another core the log may come a little later.
        found = guest.wait_for(rf"core {core} gets (\d+) KiB from ([0-9a-f]+) on, node (\d+)")
        given[core] = (int(found[1]), int(found[2], 16), int(found[3]))
    return given


def node_memory(guest):
    """[(node, begin, end)] as the boot program found them."""
    found = re.findall(r"ACPI: node (\d+): memory ([0-9a-f]+)\.\.([0-9a-f]+)", guest.text)
    return [(int(n), int(b, 16), int(e, 16)) for n, b, e in found]


@pytest.mark.parametrize("nodes, cores, memory", [(2, 4, "512M"), (4, 4, "1G"), (2, 5, "768M")])
def test_each_core_lives_on_memory_of_its_node(boot, nodes, cores, memory):
    guest = boot(CORES=cores, MEM=memory, NUMA=nodes, NIC="none", LOG="trace")
    guest.expect(rf"cores {cores} of {cores} are up", 120)
    assert {n for n, _, _ in node_memory(guest)} == set(range(nodes))
    given = given_memory(guest, cores)
    for core, (_, begin, node) in given.items():
        assert node == core * nodes // cores
        assert any(n == node and b <= begin < e for n, b, e in node_memory(guest)), core


def test_without_nodes_memory_is_split_evenly(boot):
    guest = boot(CORES=4, NIC="none", LOG="trace")
    guest.expect(r"cores 4 of 4 are up", 120)
    assert node_memory(guest) == []
    given = {core: kib for core, (kib, _, _) in given_memory(guest, 4).items()}
    assert given == {1: 2 * given[3], 2: given[3], 3: given[3]}, "core 1 starts core 3"


def test_cores_above_four_gibibytes_start(boot):
    """Each by its parent: those of node 1 have nothing below of their own."""
    guest = boot(CORES=8, MEM="8G", NUMA=2, NIC="none", LOG="trace")
    guest.expect(r"cores 8 of 8 are up", 180)
    given = given_memory(guest, 8)
    assert all(begin >= 4 << 30 for _, begin, node in given.values() if node == 1)
    guest.says_nothing_like(r"cannot be started|did not start")
