"""docs/writing-a-domain.md does what it says: its code, as it stands there, becomes domains outside
of the tree; they are built into an image of their own, booted, and the client gets its answer."""
import os
import re

from clients import domains, spawn
from skerry import BUILD, ROOT, image_with

PAGE = os.path.join(ROOT, "docs/writing-a-domain.md")
FILE = re.compile(r"^`([\w/.]+)`:\n\n```\w*\n(.*?)^```$", re.M | re.S)
IN_THE_SHELL = re.compile(r"in the shell: (.*)$", re.M)
SPAWN = re.compile(r"spawn ([^,]*)")


def read(page):
    """{path: text} of its files, and what its `spawn` commands say."""
    with open(page) as f:
        text = f.read()
    return dict(FILE.findall(text)), SPAWN.findall(IN_THE_SHELL.search(text)[1])


def test_the_page_builds_and_answers(boot):
    files, lines = read(PAGE)
    assert len(lines) == 2
    assert set(files) == {"lib/interfaces/adder.if", "usr/adder/main.cpp", "usr/asker/main.cpp"}
    folder = os.path.join(BUILD, "writing")
    for path, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
        with open(os.path.join(folder, path), "w") as f:
            f.write(text)
    guest = boot(ISO=image_with(folder), CORES=2, NIC="none")
    guest.wait_for(r"Type help", 120)
    guest.wait_for(r"cores 2 of 2 are up", 60)
    for line in lines:
        spawn(guest, line)
    guest.wait_for(r"asker\] sum 5", 60)
    assert any(d["name"] == "adder" and d["state"] == "running" for d in domains(guest))
