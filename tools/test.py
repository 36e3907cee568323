#!/usr/bin/python3
"""`make test`: builds what the tests need, runs every stage, ends with `N passed, N failed`.

Stages: check (the rules of the tree), units (host tests under ASan and UBSan), tsan (channels under
TSan), sim (many cores in one process: fixed seeds, fresh ones, planted bugs), tools (the build's
own tests), guest (CPU driver and boot program under a test guest in place of init), system (the
image in QEMU). A stage that cannot run counts as one failure. What a machine lacks (root, TAP) is
said, and is a failure unless ALLOW_MISSING=1.
"""
import os
import re
import subprocess
import sys
import time
from glob import glob

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import settings  # noqa: E402

STAGES = ("check", "units", "tsan", "sim", "tools", "guest", "system")
PYTHON = "/usr/bin/python3"


class Tally:
    def __init__(self):
        self.passed = self.failed = 0
        self.times, self.failures, self.missing = [], [], []

    def add(self, passed, failed, what=""):
        self.passed += passed
        self.failed += failed
        if failed:
            self.failures.append(what)

    def timed(self, name, work):
        start = time.monotonic()
        work()
        self.times.append((name, time.monotonic() - start))


def stream(command, environment=None):
    """Runs a command, shows its output as it comes, and returns (exit code, output)."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    lines = []
    for line in process.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        lines.append(line)
    return process.wait(), "".join(lines)


def gtest_counts(output, code):
    """Passed and failed tests of one GoogleTest binary; a crash is one more failure."""
    passed = re.search(r"^\[  PASSED  \] (\d+) test", output, re.M)
    failed = re.search(r"^\[  FAILED  \] (\d+) test", output, re.M)
    counts = [int(m[1]) if m else 0 for m in (passed, failed)]
    if code and not counts[1]:
        counts[1] = 1
    return counts


def pytest_counts(output, code):
    """Passed, failed and skipped of pytest's last line; errors, and no test at all, are failed."""
    last = [line for line in output.splitlines() if re.search(r" in [\d.]+s", line)][-1:]
    found = {}
    for count, word in re.findall(r"(\d+) (passed|failed|errors?|skipped)", "".join(last)):
        found[word.rstrip("s") if word.startswith("error") else word] = int(count)
    failed = found.get("failed", 0) + found.get("error", 0)
    if code and not failed:  # 5: nothing was selected
        failed = 1
    return found.get("passed", 0), failed, found.get("skipped", 0)


def ninja(build, *targets):
    return stream(["ninja", "-f", f"{build}/build.ninja", "--quiet", *targets])[0]


def stage_check(tally, build):
    code, output = stream([PYTHON, "tools/check.py"])
    match = re.search(r"^check: (\d+) rules hold, (\d+) broken", output, re.M)
    passed, failed = (int(match[1]), int(match[2])) if match else (0, 1)
    tally.add(passed, failed or int(bool(code)), "check")


def run_units(tally, binaries):
    for binary in sorted(binaries):
        code, output = stream([binary, "--gtest_brief=1"])
        ran = re.search(r"(\d+) tests? from", output)
        passed, failed = gtest_counts(output, code)
        print(f"{os.path.basename(binary)}: {passed} passed, {failed} failed", flush=True)
        tally.add(passed, failed, os.path.basename(binary))
        if not ran and not failed:
            tally.add(0, 1, f"{binary} said nothing")


def stage_units(tally, build):
    run_units(tally, set(glob(f"{build}/tests/*_tests")) - set(glob(f"{build}/tests/*_tsan_tests")))


def stage_tsan(tally, build):
    run_units(tally, glob(f"{build}/tests/*_tsan_tests"))


def stage_sim(tally, build):
    """Each sweep is one test, each planted bug another; without a bug its seeds are clean."""
    fresh = os.environ.get("SEED") or str(time.time_ns() // 1000 % 10**9)
    program = f"{build}/sim/sim"
    planted = ["--seeds", "500", "--cores", "5"]  # a revoke's tree of three levels below its owner
    for what, command in (
        ("fixed seeds, sanitizers", [f"{program}_san", "--seeds", "25", "--often", "--twice"]),
        ("the seeds of the planted bugs", [program, *planted]),
        (f"fresh seeds from {fresh}", [program, "--seeds", "500", "--first", fresh]),
    ):
        print(f"sim: {what}", flush=True)
        failed = int(stream(command)[0] != 0)
        tally.add(1 - failed, failed, f"sim: {what}")
    code, output = stream([program, "--mutants", *planted])
    match = re.search(r"^mutants: (\d+) found, (\d+) missed$", output, re.M)
    found, missed = (int(match[1]), int(match[2])) if match else (0, 1)
    tally.add(found, missed or int(bool(code)), "sim: planted bugs")


def run_pytest(tally, folder, *arguments):
    command = [PYTHON, "-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider", folder, *arguments]
    code, output = stream(command, {"PYTHONDONTWRITEBYTECODE": "1"})
    passed, failed, skipped = pytest_counts(output, code)
    chosen = f": no test matches {' '.join(arguments)}" if code == 5 else ""
    tally.add(passed, failed, folder + chosen)
    tally.missing += sorted(set(re.findall(r"^SKIPPED \[\d+\] [^:]+:\d+: (.+)$", output, re.M)))
    if skipped and not tally.missing:
        tally.missing.append(f"{skipped} tests of {folder}")


def stage_tools(tally, build):
    run_pytest(tally, "tests/tools")


def stage_guest(tally, build):
    code, output = stream([PYTHON, "tests/cpudriver/run_guest.py"])
    match = re.search(r"^(\d+) passed, (\d+) failed$", output, re.M)
    passed, failed = (int(match[1]), int(match[2])) if match else (0, 1)
    tally.add(passed, failed or int(bool(code)), "guest")


def stage_system(tally, build):
    if not os.path.exists(f"{build}/skerry.iso"):
        tally.add(0, 1, f"system: there is no {build}/skerry.iso to boot")
        return
    select = ["-k", os.environ["K"]] if os.environ.get("K") else []
    run_pytest(tally, "tests/system", *select)


def remove_stale(build):
    """Binaries of test folders that are gone must not run."""
    with open(f"{build}/build.ninja") as f:
        known = set(re.findall(r"^build (\S+): host_link", f.read(), re.M))
    for binary in glob(f"{build}/tests/*_tests"):
        if binary not in known:
            os.remove(binary)


def report(tally, allow_missing):
    if not (tally.passed or tally.failed or tally.missing):
        tally.add(0, 1, "nothing was run")
    print("\ntime by stage: " + ", ".join(f"{name} {s:.0f} s" for name, s in tally.times))
    for what in tally.failures:
        print(f"failed: {what}")
    for what in tally.missing:
        print(f"not run: {what}")
    if tally.missing and not allow_missing:
        print("not run counts as failed; ALLOW_MISSING=1 lets it pass")
        tally.failed += len(tally.missing)
    print(f"{tally.passed} passed, {tally.failed} failed", flush=True)


def main(arguments):
    known = {**settings.BUILD, **settings.TEST}
    try:
        values = settings.gather(arguments, os.environ, known=known, also=settings.ALL)
        allow_missing = settings.flag(values, "ALLOW_MISSING")
        settings.flag(values, "LONG")
        settings.factor(values, "PATIENCE")
    except settings.SettingError as e:
        sys.exit(f"test: {e}")
    os.environ.update({k: v for k, v in values.items() if v})
    build, only = values["BUILD"], values["ONLY"].replace(",", " ").split() or STAGES
    if unknown := set(only) - set(STAGES):
        sys.exit(f"test: ONLY={values['ONLY']}: no such stage {', '.join(sorted(unknown))}")
    tally = Tally()

    def build_all():
        if subprocess.run([PYTHON, "tools/configure.py"]).returncode:
            sys.exit("test: configure failed\n0 passed, 1 failed")
        remove_stale(build)
        targets = ["image"] + ["tests"] * ("units" in only or "tsan" in only) + ["plugins"]
        targets += ["sim"] * ("sim" in only) + ["tapstack"] * ("system" in only)
        for target in targets:
            if ninja(build, target):
                tally.add(0, 1, f"building {target}")

    tally.timed("build", build_all)
    for name in STAGES:
        if name in only:
            print(f"\n== {name}", flush=True)
            tally.timed(name, lambda: globals()[f"stage_{name}"](tally, build))
    report(tally, allow_missing)
    return 1 if tally.failed else 0


if __name__ == "__main__":
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    sys.exit(main(sys.argv[1:]))
