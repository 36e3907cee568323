#!/usr/bin/python3
"""`make exp-diff A=rev B=rev NAME=...`: builds both revisions, runs experiments on both, compares.

The harness and the experiment files are those of this tree; the image, its domains and the plugins
are the revision's. Without B it is the tree as it is. Count and model are exact: two runs of one
revision are equal, so every difference is one, and no interval has to be guessed. Of times the
medians are compared, and told apart where their intervals are.
"""
import os
import subprocess
import sys

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), p) for p in (".", "..")]
import results  # noqa: E402
import spread  # noqa: E402

from guest import BUILD, ROOT  # noqa: E402

MORE = "tests/model"
FOLDER = os.path.join(BUILD, "exp-diff")
HEAD = ("metric", "A", "B", "B / A", "interval", "verdict")


class DiffError(Exception):
    pass


def run(words, cwd, **environment):
    ran = subprocess.run(words, cwd=cwd, env=os.environ | environment, text=True,
                         capture_output=True)  # fmt: skip
    if ran.returncode:
        last = (ran.stdout + ran.stderr).strip().splitlines()[-1:] or ["no word"]
        raise DiffError(f"{' '.join(words)} in {cwd} fails: {last[0]}")
    return ran.stdout


def tree_of(revision):
    """The folder with the sources of a revision; empty: this tree."""
    if not revision:
        return ROOT
    try:
        commit = run(["git", "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"], ROOT)
    except DiffError:
        raise DiffError(f"{revision}: no such revision") from None
    folder = os.path.join(FOLDER, commit.strip())
    if not os.path.exists(folder):
        run(["git", "worktree", "prune"], ROOT)
        run(["git", "worktree", "add", "--detach", "--force", folder, commit.strip()], ROOT)
    return folder


def build(tree):
    """BUILD of that tree, with the image and the plugins in it."""
    # Relative, as in the Makefile: whatever else is built there is not built again.
    python, made = "/usr/bin/python3", os.path.relpath(BUILD, ROOT) if tree == ROOT else "build"
    for more in ("", MORE):
        run([python, "tools/configure.py"], tree, BUILD=made, MORE=more)
    run(["ninja", "-f", f"{made}/build.ninja", "plugins"], tree)
    run(["ninja", "-f", f"{made}/build-more.ninja", "image"], tree)
    return os.path.join(tree, made)


def measure(revision, names):
    """{(experiment, mode, labels, measure): number} of a revision."""
    tree = tree_of(revision)
    made = build(tree)
    print(f"exp-diff: {revision or 'this tree'}", flush=True)
    words = ["/usr/bin/python3", os.path.join(ROOT, "tools/exp"), *names]
    ran = subprocess.run(words, cwd=ROOT, env=os.environ | {"BUILD": made, "EXP_TREE": tree})
    if ran.returncode:
        raise DiffError(f"{revision or 'this tree'}: not everything could be measured")
    found = {}
    for name in names:
        _, rows = results.read(os.path.join(made, "exp", name, "rows.jsonl"))
        found |= {key: value for row in rows for key, value in metrics(row)}
    return found


def metrics(row):
    labels = tuple(f"{k}={v}" for k, v in row["labels"].items())
    for name, value in row["measures"].items():
        yield (row["experiment"], row["mode"], labels, name), value


def verdict(a, b):
    if a is None or b is None:
        return "only in " + ("A" if b is None else "B")
    if a == b:
        return "equal"
    return f"{'less' if b < a else 'more'}: {(b - a) / a:+.1%}" if a else "more"


def compare(first, second):
    """Lines of the table, in the order of A, then what only B has."""
    for key in [*first, *(k for k in second if k not in first)]:
        experiment, mode, labels, name = key
        if mode == "time" and name != "median":
            continue
        a, b = first.get(key), second.get(key)
        ratio = f"{b / a:.3f}" if a and b is not None else ""
        metric = " ".join((experiment, mode, *labels, name))
        interval, said = "exact", verdict(a, b)
        if mode == "time" and None not in (a, b):
            interval, said = of_times(*(spread_of(table, key) for table in (first, second)))
        yield (metric, *("" if v is None else f"{v:,}" for v in (a, b)), ratio, interval, said)


def spread_of(table, key):
    return {name: table[*key[:-1], name] for name in ("median", "low", "high")}


def of_times(a, b):
    low, high = b["low"] / a["high"], b["high"] / a["low"]
    return f"{low:.3f}..{high:.3f}", spread.verdict(a, b)


def show(rows):
    rows = [HEAD, *rows]
    widths = [max(len(cells[i]) for cells in rows) for i in range(len(HEAD))]
    for cells in rows:
        first, *numbers, last = cells
        middle = "  ".join(c.rjust(w) for c, w in zip(numbers, widths[1:-1]))
        print(f"{first.ljust(widths[0])}  {middle}  {last}")


def main(arguments):
    names = arguments or ["primitives"]
    a, b = os.environ.get("A", ""), os.environ.get("B", "")
    try:
        if not a:
            raise DiffError("A= names the revision to compare with")
        show(compare(measure(a, names), measure(b, names)))
    except DiffError as e:
        print(f"exp-diff: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))
