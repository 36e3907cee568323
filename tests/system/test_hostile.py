"""A peer that breaks the rules of channels (tests/hostile): the other side ends that channel and
says why, or holds it back, and goes on; nobody else notices."""
import re

import pytest
from clients import domains, get
from conftest import wait_until_ready
from skerry import Skerry, image_with

CUT_OFF = ["twice", "unknown", "answer", "lie", "mixed", "endless", "forge"]
SERVERS = {"net": "netd", "console": "console"}


@pytest.fixture(scope="module")
def world():
    guest = wait_until_ready(Skerry("hostile", CORES=4, ISO=image_with()))
    yield guest
    guest.stop()


def page(guest):
    return get(("127.0.0.1", guest.port("tcp:80")), "/")[0]


def running(guest):
    ours = "hostile", "honest"
    found = (d for d in domains(guest) if d["state"] == "running" and d["name"] not in ours)
    return {d["name"]: d["id"] for d in found}


def attack(guest, how, service, says, core=3):
    """Lets the domain do it; returns its id and where in the text it began."""
    start = guest.position = len(guest.text)
    spawned = guest.command(f"spawn hostile on {core} {how} {service}")
    number = re.search(r"(\d+\.\d+) hostile runs", spawned)[1]
    guest._search(rf"hostile\] {how} at {service}: {says}", start, 120)
    return number, start


@pytest.fixture
def unharmed(world):
    """Afterwards all who ran are the same, and serve."""
    before = running(world)
    yield
    assert page(world) == 200
    after = running(world)
    assert {name: after.get(name) for name in before} == before
    world.says_nothing_like(r"panic|core \d+ halted")


@pytest.mark.parametrize("service", SERVERS)
@pytest.mark.parametrize("how", CUT_OFF)
def test_who_breaks_the_protocol_is_cut_off_with_the_reason(world, unharmed, how, service):
    start = attack(world, how, service, r"ended with the other side broke the protocol")[1]
    if service != "console":  # which keeps its own log to itself
        who = rf"{SERVERS[service]}\] {service}"
        world._search(rf"{who}: a client of core 3 is cut off: the other side broke", start, 60)


def test_another_version_is_refused(world, unharmed):
    start = attack(world, "version", "net", "ended with")[1]
    world._search(r"netd\] net: a client of core 3 is cut off: .*versions", start, 60)


@pytest.mark.parametrize("service", SERVERS)
def test_sessions_of_the_cut_off_come_back(world, unharmed, service):
    attack(world, "often", service, "48 times")


@pytest.mark.parametrize("service", SERVERS)
def test_a_flood_keeps_nobody_else_from_being_served(world, unharmed, service):
    attack(world, "flood", service, "over, open yes, answers yes")


@pytest.mark.parametrize("service", SERVERS)
def test_who_never_reads_is_stuck_alone(world, unharmed, service):
    number, _ = attack(world, "deaf", service, "stuck")
    assert page(world) == 200
    world.command(f"kill {number}")


@pytest.mark.parametrize("service", SERVERS)
def test_scribbling_harms_its_own_channel_at_most(world, unharmed, service):
    attack(world, "scribble", service, "over")


@pytest.mark.parametrize("service", SERVERS)
def test_death_in_the_middle_of_a_message_is_an_end(world, unharmed, service):
    attack(world, "die", service, "now")


def test_nobody_gives_the_memory_of_its_quota_away(world, unharmed):
    attack(world, "hand", "ram.3", "refused 64 times")


def test_an_honest_client_of_a_bad_server_hears_errors_and_goes_on(world, unharmed):
    world.command("spawn hostile on 1 serve")
    start = len(world.text)
    world.command("spawn honest on 2")
    world._search(r"honest\] heard 0 notes, all troubles met", start, 120)
    said = dict(re.findall(r"trouble (\d): (.*)\n", world.text[start:]))
    broke = "the other side broke the protocol"
    assert said["0"] == "answered, channel open"
    assert [said[str(i)] for i in (1, 2, 3, 4, 5)] == [f"{broke}, channel {broke}"] * 5
    assert said["6"].endswith("channel open") and not said["6"].startswith("answered")
    assert said["7"] == f"{broke}, channel open"
    assert said["8"].startswith("the other side is gone")
