"""Cores that fail, are stopped, and come back, while others serve on."""
import re
import threading

import pytest
from clients import cores, get, rows
from conftest import wait_until_ready


PLACE = "netd:1,httpd:1,netsvc:1,e1000:1,pci:0"


class Load:
    """Asks for the page all the time; every answer has to be right."""

    def __init__(self, guest):
        self.address = ("127.0.0.1", guest.port("tcp:80"))
        self.answers, self.wrong, self.over = 0, [], threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over.is_set():
            try:
                status = get(self.address, "/")[0]
            except OSError as error:
                status = str(error)
            if status == 200:
                self.answers += 1
            else:
                self.wrong.append(status)

    def end(self):
        self.over.set()
        self.thread.join()
        assert self.answers > 0 and not self.wrong, (self.answers, self.wrong)


def states(guest):
    return [row["state"] for row in cores(guest)]


@pytest.mark.parametrize("count", [4, 8])
def test_a_core_fails_under_load_and_comes_back(boot, count):
    guest = wait_until_ready(boot(CORES=count, PLACE=PLACE, SUSPECT=2000))
    last = count - 1
    load = Load(guest)
    try:
        assert f"core {last} has failed" in guest.command(f"cores crash {last}", timeout=120)
        assert states(guest) == ["up"] * last + ["failed"]
        assert f"spawn.{last}" not in guest.command("names")
        assert f"core {last} is up" in guest.command(f"cores up {last}", timeout=120)
        assert states(guest) == ["up"] * count
        assert "runs" in guest.command(f"spawn bench on {last}")
    finally:
        load.end()


def test_a_core_is_stopped_and_started(boot):
    guest = wait_until_ready(boot(CORES=4, PLACE=PLACE, SUSPECT=2000))
    load, free = Load(guest), []
    try:
        for _ in range(3):
            assert "core 3 is stopped" in guest.command("cores down 3", timeout=120)
            assert states(guest) == ["up"] * 3 + ["stopped"]
            assert "core 3 is up" in guest.command("cores up 3", timeout=120)
            free.append(rows(guest.command("mem"), "core", "free KiB")[0]["free KiB"])
    finally:
        load.end()
    assert free[1] == free[2], "a start takes memory of core 0 for good"
    # The card goes on where its driver has gone: it is silent before its memory is used again.
    assert "core 1 has failed" in guest.command("cores crash 1", timeout=120)
    assert re.search(r"pci\] \S+ is silent: core 1 has failed", guest.text)
    assert "core 1 is up" in guest.command("cores up 1", timeout=120)


def test_the_first_core_fails_under_load(boot):
    guest = wait_until_ready(boot(CORES=4, PLACE="console:1,shell:1", SUSPECT=2000))
    load = Load(guest)
    try:
        assert "core 0 has failed" in guest.command("cores crash 0", timeout=120)
        assert states(guest) == ["failed"] + ["up"] * 3
        assert "spawn.0" not in guest.command("names")
        assert "runs" in guest.command("spawn bench on 2")
    finally:
        load.end()


def test_what_cannot_be_is_said(boot):
    guest = boot(CORES=2, NET="none")
    guest.wait_for(r"Type help", 180)
    assert "it stays" in guest.command("cores down 0")
    assert "is up" in guest.command("cores up 1")
    assert "there is no core 7" in guest.command("cores crash 7")
    assert re.search(r"cores up N", guest.command("cores sideways 1"))
