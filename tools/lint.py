#!/usr/bin/python3
"""`make lint`: clang-tidy over the sources of the OS, each with the flags it is built with.

    tools/lint.py [PATH-PREFIX]...          # default: everything

Slow (seconds a file), so it is no part of `make check`. Findings are counted by name at the end.
"""
import collections
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

BUILD = os.environ.get("BUILD", "build")
FINDING = re.compile(r"^(\S+?:\d+):\d+: (?:warning|error): (.*) \[([\w.,-]+)\]$", re.M)


def sources(prefixes):
    """Files of the OS that have been given compile commands, one entry each."""
    path = f"{BUILD}/compile_commands.json"
    if not os.path.exists(path):
        sys.exit(f"lint: {path} does not exist; `make compdb` writes it")
    with open(path) as f:
        entries = json.load(f)
    found = {e["file"] for e in entries if "/obj/host/" not in e["output"]}
    found = {f for f in found if f.endswith(".cpp") and not f.startswith("tests/")}
    return sorted(f for f in found if not prefixes or f.startswith(tuple(prefixes)))


def tidy(path):
    """Findings; that clang-tidy itself failed is one."""
    words = ["clang-tidy-19", "-p", BUILD, "--quiet", path]
    done = subprocess.run(words, capture_output=True, text=True)
    root, found = os.getcwd() + "/", FINDING.findall(done.stdout)
    if done.returncode and not found:
        said = (done.stderr.strip() or f"ended with {done.returncode}").splitlines()
        return [(path, said[-1], "clang-tidy failed")]
    return [(where.replace(root, ""), what, name) for where, what, name in found]


def main(prefixes):
    seen = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for findings in pool.map(tidy, sources(prefixes)):
            for where, what, name in findings:
                if (where, name) not in seen:
                    seen[where, name] = what
                    print(f"{where}: {what} [{name}]", flush=True)
    for name, count in collections.Counter(name for _, name in seen).most_common():
        print(f"{count:5} {name}")
    print(f"lint: {len(seen)} findings")
    return 1 if seen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
