"""What tests of the image import: a booted guest. The class is the one that `make counts` uses."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools"))
from guest import BUILD, PATIENCE, ROOT, GuestError, Skerry, wait_readable  # noqa: E402

# `make soak` and `make test LONG=1`: more of the same, for longer.
LONG = os.environ.get("LONG") == "1"

__all__ = ["BUILD", "LONG", "PATIENCE", "ROOT", "GuestError", "Skerry", "wait_readable"]
