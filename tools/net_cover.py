#!/usr/bin/python3
"""`make net-cover`: lines of net/ that its unit tests reach, by file, and which they never enter.

The domains around the library are left out: they are tested where there are messages.
"""
import glob
import json
import os
import subprocess

from fuzz_kernel import missed_lines

BUILD = os.environ.get("BUILD", "build")
PROGRAM = os.path.join(BUILD, "fuzz/net_cover")


def coverage():
    """{file: (covered lines, all lines, lines where a region was never entered)}."""
    profile, data = f"{BUILD}/fuzz/net.profraw", f"{BUILD}/fuzz/net.profdata"
    environment = {**os.environ, "LLVM_PROFILE_FILE": profile}
    quiet = {"stdout": subprocess.DEVNULL, "check": True}
    subprocess.run([PROGRAM, "--gtest_brief=1"], env=environment, **quiet)
    subprocess.run(["llvm-profdata-19", "merge", "-o", data, profile], check=True)
    found = glob.glob("net/**/*.[ch]pp", recursive=True)
    sources = sorted(f for f in found if not f.startswith(("net/netd/", "net/routed/")))
    export = ["llvm-cov-19", "export", PROGRAM, f"-instr-profile={data}", *sources]
    exported = json.loads(subprocess.run(export, stdout=subprocess.PIPE, check=True).stdout)
    found = {}
    for file in exported["data"][0]["files"]:
        lines = file["summary"]["lines"]
        name = os.path.relpath(file["filename"])
        if name not in sources:  # the tests themselves
            continue
        found[name] = (lines["covered"], lines["count"], missed_lines(file["segments"]))
    return found


def main():
    covered = count = 0
    for name, (reached, lines, missed) in sorted(coverage().items()):
        covered, count = covered + reached, count + lines
        where = f"   not entered: {', '.join(map(str, missed))}" if missed else ""
        print(f"  {name:28}{reached:5} of {lines:5}{where}")
    print(f"lines of net/ covered: {covered} of {count}, {100 * covered / count:.1f} %")


if __name__ == "__main__":
    main()
