"""The files of the tree, as the rules of `make check` read them."""
import functools
import os
import subprocess


@functools.cache
def files():
    """Every file of the project that is not ignored, committed or not."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return sorted({f for f in text.split("\0") if f and os.path.isfile(f)})


def cxx_files(prefix=""):
    return [f for f in files() if f.endswith((".cpp", ".hpp")) and f.startswith(prefix)]


@functools.cache
def lines(path):
    with open(path, errors="replace") as f:
        return f.read().splitlines()
