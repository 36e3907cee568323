"""What tests of the image import: a booted guest. The class is the one that `make counts` uses."""
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools"))
from guest import BUILD, PATIENCE, ROOT, GuestError, Skerry, wait_readable  # noqa: E402

# `make soak` and `make test LONG=1`: more of the same, for longer.
LONG = os.environ.get("LONG") == "1"

__all__ = ["BUILD", "LONG", "PATIENCE", "ROOT", "GuestError", "Skerry", "wait_readable"]
__all__ += ["image_with", "seed"]


def seed():
    """For a test that draws what it does; SEED=n repeats it."""
    found = int(os.environ.get("SEED") or random.getrandbits(32))
    print(f"seed {found}")
    return found


def image_with(folder="tests/hostile"):
    """An image with the domains of the folder; what the ordinary one has is not rebuilt.

    The next one takes its place, so who boots it asks right before."""
    place = os.path.relpath(BUILD, ROOT)  # as others build there, or all would be made again
    settings = dict(os.environ, BUILD=place, MORE=folder)
    subprocess.run([sys.executable, "tools/configure.py"], cwd=ROOT, env=settings, check=True)
    words = ["ninja", "--quiet", "-f", f"{place}/build-more.ninja", "image"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    return f"{BUILD}/skerry-more.iso"
