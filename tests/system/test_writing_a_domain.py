"""docs/writing-a-domain.md does what it says: its code, as it stands there, becomes domains outside
of the tree; they are built into an image of their own, booted, and the client gets its answer."""
import os
import re

from clients import domains
from skerry import BUILD, ROOT, image_with

PAGE = os.path.join(ROOT, "docs/writing-a-domain.md")
FILE = re.compile(r"^`([\w/.]+)`:\n\n```\w*\n(.*?)^```$", re.M | re.S)


def files_of(page):
    with open(page) as f:
        return dict(FILE.findall(f.read()))


def test_the_page_builds_and_answers(boot):
    files = files_of(PAGE)
    assert set(files) == {"lib/interfaces/adder.if", "usr/adder/main.cpp", "usr/asker/main.cpp"}
    folder = os.path.join(BUILD, "writing")
    for path, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
        with open(os.path.join(folder, path), "w") as f:
            f.write(text)
    guest = boot(ISO=image_with(folder), CORES=2, NIC="none")
    guest.wait_for(r"Type help", 120)
    guest.wait_for(r"cores 2 of 2 are up", 60)
    guest.command("spawn adder on 1")
    guest.command("spawn asker on 0")
    guest.wait_for(r"asker\] sum 5", 60)
    assert any(d["name"] == "adder" and d["state"] == "running" for d in domains(guest))
