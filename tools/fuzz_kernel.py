#!/usr/bin/python3
"""`make fuzz-kernel`: runs the kernel's fuzzers, and prints executions, invocations and coverage.

    FUZZ_SECONDS=60 how long each of the two fuzzers runs
    JOIN=           1: also the smallest corpus that covers as much, in BUILD/fuzz/kept

The fuzzers begin with the kept inputs of tests/fuzz/corpus and go on in BUILD/fuzz/corpus. Coverage
is that of kernel/ by the inputs alone, compiled with clang's source-based coverage.
"""
import glob
import json
import os
import re
import shutil
import subprocess
import sys

KEPT = "tests/fuzz/corpus"
FUZZERS = {"kernel_calls": 768, "kernel_page": 512}  # and the longest input
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}


def fuzz(build, name, seconds):
    """Runs one fuzzer: (executions, invocations). What it finds ends the program."""
    corpus = f"{build}/fuzz/corpus/{name}"
    os.makedirs(corpus, exist_ok=True)
    command = [
        f"{build}/fuzz/{name}_fuzz", f"-max_total_time={seconds}", f"-max_len={FUZZERS[name]}",
        "-len_control=0", "-print_final_stats=1", f"-artifact_prefix={build}/fuzz/{name}-",
        corpus, f"{KEPT}/{name}",
    ]  # fmt: skip
    done = subprocess.run(
        command, stderr=subprocess.PIPE, text=True, errors="replace", env=ENVIRONMENT
    )
    if done.returncode:
        sys.exit(f"{done.stderr[-3000:]}\nfuzz-kernel: {name} found something")
    executions = re.search(r"number_of_executed_units:\s*(\d+)", done.stderr)
    invocations = re.search(r"^invocations: (\d+)", done.stderr, re.M)
    return int(executions[1]), int(invocations[1])


def join(build, name):
    """The kept inputs become the few that cover what all of them do."""
    fresh = f"{build}/fuzz/kept/{name}"
    shutil.rmtree(fresh, ignore_errors=True)
    os.makedirs(fresh)
    folders = [fresh, f"{build}/fuzz/corpus/{name}", f"{KEPT}/{name}"]
    command = [f"{build}/fuzz/{name}_fuzz", "-merge=1", *folders]
    subprocess.run(command, stderr=subprocess.DEVNULL, env=ENVIRONMENT, check=True)
    return len(os.listdir(fresh))


def coverage(build):
    """Lines of kernel/ that the inputs reach: {file: (covered, count)}, and which they do not."""
    profile = f"{build}/fuzz/kernel.profraw"
    environment = {
        **os.environ,
        "LLVM_PROFILE_FILE": profile,
        "SKERRY_CORPUS": f"{build}/fuzz/corpus",
    }
    cover = f"{build}/fuzz/kernel_cover"
    quiet = {"stdout": subprocess.DEVNULL, "check": True}
    subprocess.run([cover, "--gtest_brief=1"], env=environment, **quiet)
    data = f"{build}/fuzz/kernel.profdata"
    subprocess.run(["llvm-profdata-19", "merge", "-o", data, profile], check=True)
    sources = sorted(glob.glob("kernel/*.[ch]pp"))
    export = ["llvm-cov-19", "export", cover, f"-instr-profile={data}", *sources]
    exported = json.loads(subprocess.run(export, stdout=subprocess.PIPE, check=True).stdout)
    files = exported["data"][0]["files"]
    found = {os.path.relpath(f["filename"]): f for f in files}
    return {
        name: (found[name]["summary"]["lines"], missed_lines(found[name]["segments"]))
        for name in sources
        if name in found
    }


def missed_lines(segments):
    """Lines where a region begins that was never entered."""
    never = {s[0] for s in segments if s[2] == 0 and s[3] and s[4]}  # count, is counted, is entry
    return sorted(never)


def report(build):
    covered = count = 0
    for name, (lines, missed) in coverage(build).items():
        covered, count = covered + lines["covered"], count + lines["count"]
        where = f"   not entered: {', '.join(map(str, missed))}" if missed else ""
        print(f"  {name:28}{lines['covered']:5} of {lines['count']:5}{where}")
    print(f"lines of kernel/ covered: {covered} of {count}, {100 * covered / count:.1f} %")


def main():
    build, seconds = os.environ.get("BUILD", "build"), os.environ.get("FUZZ_SECONDS") or "60"
    total = 0
    for name in FUZZERS:
        os.makedirs(f"{build}/fuzz/corpus/{name}", exist_ok=True)
        for kept in glob.glob(f"{KEPT}/{name}/*"):
            shutil.copy(kept, f"{build}/fuzz/corpus/{name}")
        executions, invocations = fuzz(build, name, seconds)
        total += invocations
        print(f"{name}: {executions} executions, {invocations} invocations", flush=True)
    print(f"invocations: {total}")
    if os.environ.get("JOIN") == "1":
        for name in FUZZERS:
            print(f"{name}: {join(build, name)} inputs would do: {build}/fuzz/kept/{name}")
    report(build)


if __name__ == "__main__":
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    main()
