"""Fixtures: `boot` starts guests and ends them, `namespace` is a network with a TAP."""
import os
import re
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
from namespace import Namespace, missing  # noqa: E402
from skerry import Skerry  # noqa: E402


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


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the end of every guest's serial line below a failure."""
    outcome = yield
    report = outcome.get_result()
    starter = item.funcargs.get("boot") if hasattr(item, "funcargs") else None
    if report.when == "call" and report.failed and starter:
        guests = next(c.cell_contents for c in starter.__closure__ if type(c.cell_contents) is list)
        for guest in guests:
            report.sections.append((f"serial line, {guest.log_path}", guest.tail()))
