"""A peer that breaks the rules of channels (tests/hostile): the other side ends that channel and
says why, or holds it back, and goes on; nobody else notices."""
import re

import pytest
from clients import domains, page, running, spawn

CUT_OFF = ["twice", "unknown", "answer", "lie", "mixed", "endless", "forge"]
# Cut off and bound again, sending without end, writing anywhere in its half, death in mid-message.
ENDS = {
    "often": "48 times",
    "flood": "over, open yes, answers yes",
    "scribble": "over",
    "die": "now",
}
SERVERS = {"net": "netd", "console": "console"}


def attack(guest, how, service, says, core=3):
    """Lets the domain do it; returns its id and where in the text it began."""
    start = len(guest.text)
    number = spawn(guest, f"hostile on {core} {how} {service}")
    guest.wait_for(rf"hostile\] {how} at {service}: {says}", 120, start)
    return number, start


@pytest.fixture
def unharmed(abused):
    """Afterwards all who ran are the same, and serve."""
    before = {k: v for k, v in running(abused).items() if k not in ("hostile", "honest")}
    yield
    assert page(abused) == 200
    after = running(abused)
    assert {name: after.get(name) for name in before} == before
    abused.says_nothing_like(r"panic|core halted")


@pytest.mark.parametrize("service", SERVERS)
@pytest.mark.parametrize("how", CUT_OFF)
def test_who_breaks_the_protocol_is_cut_off_with_the_reason(abused, unharmed, how, service):
    start = attack(abused, how, service, r"ended with the other side broke the protocol")[1]
    if service != "console":  # which keeps its own log to itself
        who = rf"{SERVERS[service]}\] {service}"
        abused.wait_for(rf"{who}: a client of core 3 is cut off: the other side broke", 60, start)


def test_another_version_is_refused(abused, unharmed):
    start = attack(abused, "version", "net", "ended with")[1]
    abused.wait_for(r"netd\] net: a client of core 3 is cut off: .*versions", 60, start)


@pytest.mark.parametrize("service", SERVERS)
@pytest.mark.parametrize("how", ENDS)
def test_what_it_does_harms_its_own_channel_at_most(abused, unharmed, how, service):
    attack(abused, how, service, ENDS[how])


@pytest.mark.parametrize("service", SERVERS)
def test_who_never_reads_is_stuck_alone(abused, unharmed, service):
    number, _ = attack(abused, "deaf", service, "stuck")
    assert page(abused) == 200
    abused.command(f"kill {number}")


def test_nobody_gives_the_memory_of_its_quota_away(abused, unharmed):
    attack(abused, "hand", "ram.3", "refused 64 times")


def test_a_notice_waits_for_a_slot(abused, unharmed):
    _, start = attack(abused, "hoard", "net", "bound")
    abused.wait_for(r"hostile\] no slots: the monitor's notices wait", 60, start)


@pytest.mark.parametrize("core", [1, 2])
def test_a_driver_that_never_unbinds_is_ended_and_memory_comes_back(abused, core):
    """Of its own core and of another; after the time that is its due."""
    abused.command("spawn hostile on 1 hold")
    start = len(abused.text)
    number = spawn(abused, f"honest on {core} stay")
    abused.wait_for(r"domain hostile says: holds", 60, start)
    assert f"{number} is killed" in abused.command(f"kill {number}", timeout=120)
    abused.wait_for(r"spawn\] memory of honest is held back", 60, start)
    abused.wait_for(r"hostile has its device reach memory of a peer that is gone", 60, start)
    ours = {d["id"]: d["state"] for d in domains(abused) if d["name"] in ("hostile", "honest")}
    assert ours[number] == "killed" and "running" not in ours.values()
    assert page(abused) == 200


def test_an_honest_client_of_a_bad_server_hears_errors_and_goes_on(abused, unharmed):
    abused.command("spawn hostile on 1 serve")
    start = len(abused.text)
    abused.command("spawn honest on 2")
    abused.wait_for(r"honest\] heard 0 notes, all troubles met", 120, start)
    said = dict(re.findall(r"trouble (\d): (.*)\n", abused.text[start:]))
    broke = "the other side broke the protocol"
    assert said["0"] == "answered, channel open"
    assert [said[str(i)] for i in (1, 2, 3, 4, 5)] == [f"{broke}, channel {broke}"] * 5
    assert said["6"].endswith("channel open") and not said["6"].startswith("answered")
    assert said["7"] == f"{broke}, channel open"
    assert said["8"].startswith("the other side is gone")
