"""Fixtures. `boot` starts guests and ends them, `namespace` is a network with a TAP. Booting costs,
so `guest` (four cores, user networking, and the domains of tests/hostile) and `tapped` (the plain
image on a TAP, with its namespace) are shared by all tests; after one has failed, the next gets a
fresh one."""
import os
import re
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
from namespace import Namespace, missing  # noqa: E402
from skerry import Skerry, image_with  # noqa: E402

PORTS = "tcp:7,tcp:9,tcp:13,tcp:19,tcp:5001,udp:7,udp:9,tcp:7007,udp:7007"


def wait_until_ready(guest):
    """The shell has its prompt, the stack its address and the web server its port, in any order."""
    try:
        guest.wait_until_it_serves()
        guest.wait_for(r"Type help", 180)
    except BaseException:
        guest.stop()
        raise
    return guest


class Shared:
    """One guest for many tests; `fresh` makes the next user start another."""

    def __init__(self, start):
        self.start, self.guest = start, None

    def get(self):
        if self.guest is None or self.guest.process.poll() is not None:
            self.drop()
            self.guest = self.start()
        return self.guest

    def drop(self):
        if self.guest:
            self.guest.stop()
        self.guest = None


def kept(name, **settings):
    """For a session: four cores, and the domains of tests/hostile."""
    shared = Shared(lambda: wait_until_ready(Skerry(name, CORES=4, ISO=image_with(), **settings)))
    yield shared
    shared.drop()


@pytest.fixture
def boot(request):
    """boot(CORES=2, ...) starts a guest; it ends with the test, whatever happens."""
    guests = []
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", request.node.name)

    def start(**settings):
        guests.append(Skerry(f"{name}.{len(guests)}" if guests else name, **settings))
        return guests[-1]

    yield start
    for guest in guests:
        guest.stop()


@pytest.fixture
def namespace():
    if why := missing():
        pytest.skip(why)
    space = Namespace(f"sktest{os.getpid()}")
    yield space
    space.close()


@pytest.fixture(scope="session")
def shared_guest():
    yield from kept("guest", FORWARD=PORTS)


@pytest.fixture
def guest(shared_guest):
    return shared_guest.get()


@pytest.fixture(scope="session")
def shared_abused():
    yield from kept("abused")


@pytest.fixture
def abused(shared_abused):
    """A guest for domains that do their worst, apart from those whose figures others look at."""
    return shared_abused.get()


@pytest.fixture(scope="session")
def shared_tapped():
    if why := missing():
        pytest.skip(why)
    space = Namespace(f"skshare{os.getpid()}")

    def start():
        started = wait_until_ready(Skerry("tapped", CORES=4, TEST=1, **space.settings()))
        started.space = space
        return started

    shared = Shared(start)
    yield shared
    shared.drop()
    space.close()


@pytest.fixture
def tapped(shared_tapped):
    """A guest whose `space` is the namespace with its TAP."""
    return shared_tapped.get()


def guests_of(item):
    """The guests that a test has used, and the shared ones among their keepers."""
    arguments = getattr(item, "funcargs", {})
    starter = arguments.get("boot")
    guests = []
    if starter:
        lists = (c.cell_contents for c in starter.__closure__ if type(c.cell_contents) is list)
        guests += next(lists)
    keepers = [found for name, found in arguments.items() if name.startswith("shared_")]
    return guests + [k.guest for k in keepers if k.guest], keepers


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the end of every guest's serial line below a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "teardown" or not report.failed:
        return
    guests, keepers = guests_of(item)
    for guest in guests:
        report.sections.append((f"serial line, {guest.log_path}", guest.tail()))
    for keeper in keepers:
        keeper.drop()
