"""Rules of `make check` on pages: what they name is there, what they list is all of it."""
import os
import re

from tree import cxx_files, files, lines


def pages():
    return [f for f in files() if f.endswith("README.md") or re.fullmatch(r"docs/.*\.md", f)]


def docs_name_tests_that_exist():
    """`Suite.Name`, `Suite.*`, and `NameOfATest` of a unit test, and `test_name` of a pytest."""
    ours = [f for f in files() if f.startswith("tests/") and f.endswith((".cpp", ".py"))]
    text = "\n".join(line for f in ours for line in lines(f))
    units = re.findall(r"\bTEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\s*\)", text)
    known = {f"{suite}.{name}" for suite, name in units} | {f"{suite}.*" for suite, _ in units}
    known |= {name for _, name in units} | set(re.findall(r"^ *def (test_\w+)", text, re.M))
    known |= {os.path.basename(f).partition(".")[0] for f in ours}
    for path in cxx_files():  # a type may look like a test
        known |= set(re.findall(r"\b(?:class|struct|concept|using) (\w+)", "\n".join(lines(path))))
    camel = r"[A-Z][a-z]*(?:[A-Z]+[a-z]+){2,}"
    named = re.compile(rf"`([A-Z]\w+\.(?:[A-Z]\w+|\*)|{camel})`|\b(test_\w+)|=([A-Z]\w+\.\*)")
    for path in pages():
        for number, line in enumerate(lines(path), 1):
            for name in filter(None, sum(named.findall(line), ())):
                if name not in known:
                    yield f"{path}:{number}: there is no test {name}"


def words_of(line):
    """What stands in backquotes."""
    return set(re.findall(r"`([^`]+)`", line))


def docs_say_who_has_control(manifest="usr/init/manifest", page="docs/security.md"):
    """The last cell of the row `who has control`, behind its colon, names just those."""
    has = {}
    for number, line in enumerate(lines(manifest), 1):
        if match := re.match(r"(?:domain|counted|image)\s+(\S+)(.*)", line):
            has[match[1]] = number if "control" in match[2].split() else 0
    for number, line in enumerate(lines(page), 1):
        if line.startswith("| who has `control`"):
            named = words_of(line.rpartition(":")[2])
            for name in sorted(named - {n for n, at in has.items() if at}):
                yield f"{page}:{number}: {name} has no control"
            for name in sorted(n for n, at in has.items() if at and n not in named):
                yield f"{manifest}:{has[name]}: {page} does not say that {name} has control"
            return
    yield f"{page}: says nowhere who has control"


def docs_name_every_package(listed="tools/packages.txt", page="docs/dependencies.md"):
    """What setup.sh installs, and in the page's table what is not said to be not installed."""
    packages = {line.split()[0] for line in lines(listed) if line and not line.startswith("#")}
    rows = re.findall(r"^\| ([a-z][^|]*) \| (?!why)(?!not installed)", "\n".join(lines(page)), re.M)
    explained = {name.strip() for row in rows for name in row.split(",")}
    for name in sorted(packages - explained):
        yield f"{page}: does not say what {name} is for"
    for name in sorted(explained - packages):
        yield f"{listed}: {page} explains {name}, which is not installed"
