"""Domains from birth to death: what they are given, who starts them again, and that after a kill
everything of them is back: memory, capabilities, names. Nothing that was freed is written to."""
import itertools
import re
import socket
import threading

import pytest
from clients import checked_upload, domain, domains, page, rows, spawn
from conftest import wait_until_ready
from skerry import PATIENCE, image_with

CORE = 2


def row_of(guest, name):
    """What `ps` lists of the one that runs under that name."""
    return next(d for d in domains(guest) if d["name"] == name and d["state"] == "running")


def memory(guest):
    """What `mem` says, by core; the shell itself is on core 0."""
    table = rows(guest.command("mem"), "core", "own KiB", "free KiB")
    return {int(row["core"]): row for row in table}


def names(guest):
    return {row["name"] for row in rows(guest.command("names"), "name", "core")}


def back(guest, core):
    row = memory(guest)[core]
    wanted = ("own KiB", "free KiB", "foreign KiB", "capabilities", "wakeable", "lines")
    return {k: row[k] for k in wanted}


def test_a_domain_finds_its_arguments_and_environment(guest):
    number = spawn(guest, f"faulty on {CORE} tell COLOUR with SIZE=3 COLOUR=red=dark")
    guest.expect(r"faulty\] COLOUR is red=dark\n")
    text = guest.command(f"ps {number}")
    assert re.search(r"^arguments +tell COLOUR$", text, re.M)
    assert re.search(r"^environment +SIZE=3 COLOUR=red=dark$", text, re.M)
    guest.command(f"kill {number}")


def test_the_last_line_of_a_domain_reaches_the_console(guest):
    spawn(guest, f"faulty on {CORE} farewell")
    guest.expect(r"faulty\] farewell\n")
    guest.expect(r"domain faulty ended with code 0\n")


@pytest.mark.parametrize(
    "line, sentence",
    [
        (f"spawn faulty on {CORE} with restart=maybe", "cannot be spawned: the data is not of its"),
        (f"spawn faulty on {CORE} with quota=x", "cannot be spawned: the data is not of its"),
        (f"spawn faulty on {CORE} with quota=1073741824", "cannot be spawned: out of memory"),
        ("restart 2.9999", "there is no domain 2.9999: type ps"),
        ("restart nobody", 'no domain "nobody" is running'),
        ("ps 2.9999", "there is no domain 2.9999: type ps"),
    ],
)
def test_bad_input_gets_one_sentence(guest, line, sentence):
    assert sentence in guest.command(line)


def test_a_domain_is_started_again_by_hand_with_what_it_was_given(guest):
    first = spawn(guest, f"faulty on {CORE} wait with COLOUR=red")
    text = guest.command(f"restart {first}")
    second = re.search(rf"{first} runs again as (\d+\.\d+)", text)[1]
    assert first not in {d["id"] for d in domains(guest)}
    row = domain(guest, second)
    assert (row["state"], row["restarts"]) == ("running", "1")
    assert "COLOUR=red" in guest.command(f"ps {second}")
    guest.command(f"kill {second}")
    assert domain(guest, second)["state"] == "killed", "no policy starts what was killed"


def test_a_policy_starts_again_after_a_fault_until_its_limit(guest):
    spawn(guest, f"faulty on {CORE} read with restart=on-fault/3/1000")
    for _ in range(3):
        guest.expect(r"spawn\] faulty is started again\n")
    guest.expect(r"spawn\] faulty has ended more than 3 times in 1000 s: it is not started again")
    last = [d for d in domains(guest) if d["name"] == "faulty"][-1]
    assert (last["state"], last["restarts"]) == ("faulted", "3")
    assert page(guest) == 200


def test_a_clean_end_is_no_fault(guest):
    number = spawn(guest, f"faulty on {CORE} with restart=on-fault/3/1000")
    guest.expect(r"domain faulty ended with code 0\n")
    assert domain(guest, number)["state"] == "exited"


def test_after_a_kill_everything_is_back(guest):
    # The first one leaves its entry in the spawner's table.
    guest.command(f"kill {spawn(guest, f'faulty on {CORE} wait')}")
    before, names_before = back(guest, CORE), names(guest)
    for _ in range(3):
        number = spawn(guest, f"faulty on {CORE} wait")
        assert back(guest, CORE) != before
        assert f"{number} is killed" in guest.command(f"kill {number}")
    assert back(guest, CORE) == before
    assert names(guest) == names_before


def test_who_revokes_what_it_lives_on_is_noticed_and_costs_nobody_memory(guest):
    """Not even the spawner's own capability to it; its channel to the console is lent."""
    after = []
    for _ in range(2):
        spawn(guest, f"faulty on {CORE} disown with restart=on-fault/1/1000")
        for line in ("is started again", "more than 1 times"):
            guest.expect(rf"faulty on core {CORE} stopped: something it stands on was revoked")
            guest.expect(rf"spawn\] faulty .*{line}")
        last = [d for d in domains(guest) if d["name"] == "faulty"][-1]
        assert (last["state"], last["restarts"]) == ("faulted", "1")
        after.append(back(guest, CORE))
    assert after[0] == after[1]
    guest.says_nothing_like("something is left|is not back")


def test_what_was_lent_to_other_cores_is_back_as_well(boot):
    """An application with its channels to a stack and a console on other cores: there, too, each
    binding has a doorbell and a frame, which are capabilities."""
    guest = wait_until_ready(boot(CORES=4))
    assert page(guest) == 200
    guest.command("kill httpd")

    def come_and_go():
        number = spawn(guest, "httpd on 3")
        guest.expect(r"httpd\] port 80 open")
        assert page(guest) == 200
        assert f"{number} is killed" in guest.command(f"kill {number}")

    come_and_go()  # the spawner's table of slots may have grown, once
    before = [back(guest, core) for core in range(4)]
    for _ in range(3):
        come_and_go()
    assert [back(guest, core) for core in range(4)] == before


def test_a_driver_is_started_again_and_the_network_with_it(boot):
    guest = wait_until_ready(boot(CORES=4))
    assert page(guest) == 200
    assert row_of(guest, "e1000")["notes"] == "masters the bus"
    before = {k: back(guest, 1)[k] for k in ("wakeable", "lines")}
    start = len(guest.text)
    assert "runs again as" in guest.command("restart e1000")
    guest.position = start
    guest.expect(r"pci\] \S+ is silent: its driver has ended")
    guest.expect(r"netd\] the network card has gone")
    for line in (r"netd\] address 10\.", r"httpd\] port 80 open"):
        guest.wait_for(line, 120, start)
    assert page(guest) == 200
    assert row_of(guest, "e1000")["restarts"] == "1"
    assert {k: back(guest, 1)[k] for k in before} == before, "its vector and interrupt lines"
    assert row_of(guest, "netd")["restarts"] == "1"


def test_without_the_pci_service_memory_that_a_device_reaches_is_given_up(boot):
    """Nobody can silence the card any more: neither its driver's end nor that of the stack whose
    buffers it has is waited for, and their memory is not used again."""
    guest = wait_until_ready(boot(CORES=4, ISO=image_with()))
    free = {core: int(memory(guest)[core]["free KiB"]) for core in (1, 2)}
    assert "is killed" in guest.command("kill pci")
    for victim, core in (("e1000", 1), ("netd", 2)):
        number, start = row_of(guest, victim)["id"], len(guest.text)
        assert f"{number} is killed" in guest.command(f"kill {victim}")
        guest.wait_for(rf"nobody can silence the device that reaches memory of {victim}", 60, start)
        assert domain(guest, number)["state"] == "killed"
        assert int(memory(guest)[core]["free KiB"]) <= free[core] + 2048  # of pci alone
    number = spawn(guest, f"faulty on {CORE} wait")
    assert f"{number} is killed" in guest.command(f"kill {number}")


def test_out_of_memory_names_the_quota(guest):
    start = len(guest.text)
    text = guest.command(f"spawn faulty on {CORE} with quota=1073741824")
    assert "cannot be spawned: out of memory" in text
    guest.position = start
    guest.expect(r"spawn\] faulty cannot have its quota of 1073741824 KiB: \d+ KiB are free")


class Flood:
    """Uploads to port 9 from several connections, for as long as it takes them."""

    def __init__(self, guest, streams=4):
        self.address, self.stop = ("127.0.0.1", guest.port("tcp:9")), threading.Event()
        self.sent = threading.Event()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(streams)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def run(self):
        block = bytes(1 << 16)
        while not self.stop.is_set():
            try:
                with socket.create_connection(self.address, timeout=5 * PATIENCE) as stream:
                    stream.settimeout(2 * PATIENCE)
                    for i in itertools.count():
                        stream.sendall(block)
                        if i == 16:
                            self.sent.set()
                        if self.stop.is_set():
                            return
            except OSError:  # that is what a death looks like from here
                self.stop.wait(0.1)


def look_at_free_memory(guest):
    """What was freed is granted again, and so looked at."""
    for core in range(4):
        guest.command(f"kill {spawn(guest, f'faulty on {core} wait with quota=32768')}")
    return [row["damaged words"] for row in memory(guest).values()]


class Rain:
    """Datagrams to port 9 all the while, whoever is there to read them: the card is never still."""

    def __init__(self, guest):
        self.address, self.stop = ("127.0.0.1", guest.port("udp:9")), threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def run(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not self.stop.wait(0.001):
                sender.sendto(bytes(1400), self.address)


STACK_IS_BACK = (r"netd\] address 10\.", r"httpd\] port 80 open")
READY_AFTER = {"netsvc": (), "netd": STACK_IS_BACK, "e1000": STACK_IS_BACK}


LOSES_ITS_CARD = (
    r"spawn\] memory of netd is held back",
    r"e1000 has its device reach memory of a peer that is gone: it is ended",
    r"pci\] \S+ is silent: its driver has ended",
    r"\d is killed",
)


def a_driver_that_cannot_run_loses_its_card(guest):
    """It never takes its descriptors off the stack's memory: after the time that is its due it is
    ended, its card is silenced, and only then is that memory free."""
    with Rain(guest):
        start = len(guest.text)
        guest.command("spawn hog on 3 8000")
        assert "is killed" in guest.command("kill netd", timeout=60)
        ends = [guest.wait_for(line, 60, start).start() for line in LOSES_ITS_CARD]
        held, *between, killed = ends  # two domains say these, and the console hears one first
        assert held < min(between) and max(between) < killed
        assert look_at_free_memory(guest) == ["0"] * 4
        guest.wait_for(r"domain hog ended with code 0", 60, start)
    guest.wait_for(r"spawn\] e1000 is started again", 60, start)
    start = len(guest.text)
    assert "runs again as" in guest.command("restart netd")
    for line in STACK_IS_BACK:
        guest.wait_for(line, 120, start)
    assert look_at_free_memory(guest) == ["0"] * 4
    assert page(guest) == 200


@pytest.mark.parametrize("victim", READY_AFTER)
def test_nothing_writes_to_freed_memory_when_one_is_killed_at_full_load(boot, victim):
    settings = {"MEMORY": "checked", "FORWARD": "tcp:9,tcp:5001,udp:9", "ISO": image_with()}
    if victim == "netsvc":
        settings["PLACE"] = "e1000:3"  # away from the PCI service
    guest = wait_until_ready(boot(CORES=4, **settings))
    with Flood(guest) as flood:
        assert flood.sent.wait(60 * PATIENCE)
        start = len(guest.text)
        assert "is killed" in guest.command(f"kill {victim}")
        assert look_at_free_memory(guest) == ["0"] * 4
        assert "runs again as" in guest.command(f"restart {victim}")
        for line in READY_AFTER[victim]:
            guest.wait_for(line, 120, start)
    assert look_at_free_memory(guest) == ["0"] * 4
    assert page(guest) == 200
    said, expected = checked_upload(("127.0.0.1", guest.port("tcp:5001")), 1 << 20)
    assert said == expected
    if victim == "netsvc":
        a_driver_that_cannot_run_loses_its_card(guest)


def test_a_core_without_memory_gets_it_from_its_neighbour_and_gives_it_back(boot):
    guest = wait_until_ready(boot(CORES=4, ISO=image_with()))
    before = back(guest, 1)
    own = int(memory(guest)[1]["free KiB"])
    quota = 16384
    numbers = []
    while not numbers or memory(guest)[1]["foreign KiB"] == "0":
        numbers.append(spawn(guest, f"faulty on 1 wait with quota={quota}"))
        assert len(numbers) <= own // quota + 2
    row = memory(guest)[1]
    assert int(row["foreign KiB"]) >= quota
    assert page(guest) == 200
    for number in reversed(numbers):
        assert f"{number} is killed" in guest.command(f"kill {number}")
    guest.wait_for(r"spawn\] memory \d+ KiB goes back to core \d")
    after = back(guest, 1)
    assert {k: after[k] for k in ("own KiB", "free KiB", "foreign KiB")} == {
        k: before[k] for k in ("own KiB", "free KiB", "foreign KiB")
    }
