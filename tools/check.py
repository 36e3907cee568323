#!/usr/bin/python3
"""`make check`: holds the tree against its rules; docs/architecture.md and docs/style.md say why.

Every rule is a generator of complaints `file:line: what`. Rules on sources are here, on pages in
tools/check_docs.py, on what was built in tools/check_image.py. Ends with
`check: N rules hold, M broken`.
"""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from check_docs import (  # noqa: E402
    docs_name_every_package,
    docs_name_tests_that_exist,
    docs_say_who_has_control,
)
from tree import cxx_files, files, lines  # noqa: E402

# Room: rooms it may include besides itself. A `*` stands for one folder name; the longest prefix
# of a file is its room. An entry ending in `/` allows everything below.
LIB_LOW = ["lib/base", "lib/abi"]
MAY_INCLUDE = {
    "lib/base": [],
    "lib/abi": ["lib/base"],
    "lib/hw": ["lib/base"],
    "lib/ump": ["lib/base"],
    "lib/async": ["lib/base"],
    "lib/netq": ["lib/base", "lib/ump"],
    "lib/span": LIB_LOW,
    "lib/group": ["lib/base"],
    "lib/rpc": ["lib/base", "lib/abi", "lib/ump", "lib/async"],
    "lib/interfaces": ["lib/base", "lib/abi", "lib/ump", "lib/async", "lib/rpc"],
    "lib/os": ["lib/"],
    "lib/bsd": ["lib/"],
    "kernel": LIB_LOW,
    "cpudriver": ["kernel", *LIB_LOW, "lib/hw", "cpudriver/x86_64"],
    "cpudriver/x86_64": ["kernel", *LIB_LOW, "lib/hw", "cpudriver/first_domain.hpp"],
    "cpudriver/boot": [*LIB_LOW, "lib/hw", "cpudriver/x86_64"],
    "monitor": ["lib/"],
    "drivers/*": ["lib/base", "lib/hw", "lib/netq"],
    "drivers/*/main.cpp": ["drivers/*", "lib/"],
    "drivers/*/domain": ["drivers/*", "lib/"],  # for a main of several: net/netcard
    "net": ["lib/base"],
    "net/netd": ["net", "lib/"],
    "net/netcard": ["lib/", "net/", "drivers/e1000/", "usr/netsvc/", "usr/httpd/"],  # one domain
    "net/routed": ["net/address.hpp", "net/routed/", "lib/"],
    "usr/*": ["lib/"],
    "usr/init": ["lib/", "usr/coreboot/"],  # each init starts the cores below its own
    "tools/tapstack": ["lib/", "net", "net/netd", "usr/netsvc/"],  # both as a process of Linux
    "tests": [""],
}
FREESTANDING = set(
    "array bit compare concepts cstddef cstdint expected iterator limits new optional ranges "
    "source_location span string_view tuple type_traits utility algorithm".split()
)
USER = FREESTANDING | {"atomic", "coroutine", "charconv", "variant", "exception"}
# Layouts and numbers of sockets as programs for Linux know them.
LINUX = {"arpa/inet.h", "cstdarg", "fcntl.h", "netinet/in.h", "netinet/tcp.h", "poll.h"}
LINUX |= {"sys/ioctl.h", "sys/socket.h", "unistd.h"}
# Longest prefix counts. Programs of the host may include what they like.
ANGLES = {
    "kernel": FREESTANDING,
    "cpudriver": FREESTANDING,
    "cpudriver/x86_64": FREESTANDING | {"atomic"},  # the hand-over at start-up only
    "lib/base": FREESTANDING,
    "lib/abi": FREESTANDING,
    "lib/hw": FREESTANDING,
    "lib/bsd": USER | LINUX,
    "": USER,
}
ASM_FILES = r"(cpudriver/(x86_64|boot)/.*\.S|lib/os/.*\.S|cpudriver/x86_64/instructions\.hpp|"
ASM_FILES += r"lib/hw/(mmio|port)\.hpp|lib/os/(syscall|instructions|model)\.hpp|lib/base/mark\.hpp|"
ASM_FILES += r"usr/bench/primitives\.cpp|"  # counts a thousand NOPs, to check the counting
ASM_FILES += r"tests/hostile/usr/faulty/main\.cpp)"  # what only assembly can do wrong
# Where bytes become objects: registers, mapped memory, kernel objects in donated RAM, wire formats.
CASTS = ("lib/hw/", "lib/os/", "net/wire", "kernel/", "cpudriver/", "usr/bench/", "tests/")
# Registers; words that their writer may change under us, each to be read once; touching a page.
VOLATILE = ("lib/hw/mmio.hpp", "kernel/hostile.hpp", "usr/bench/primitives.cpp")
# Accesses nobody may leave out.
VOLATILE += ("tests/hostile/usr/", "usr/parallel/promises.cpp")
LONG = {".c": 400, ".cpp": 400, ".h": 400, ".hpp": 250, ".S": 400, ".py": 400}


def without_comment(line):
    """The line with string contents and the comment at its end taken out."""
    return re.sub(r"//.*", "", re.sub(r'"(\\.|[^"\\])*"', '""', line))


def code_lines(path):
    """(number, code) of each line, comments blanked."""
    inside = False
    for number, line in enumerate(lines(path), 1):
        code = without_comment(line)
        if inside:
            _, end, code = code.partition("*/")
            inside = not end
        code = re.sub(r"/\*.*?\*/", "", code)
        code, opened, _ = code.partition("/*")
        inside = inside or bool(opened)
        yield number, code


def matches(pattern, path):
    """Does the room pattern name this file or a folder above it?"""
    regex = re.escape(pattern).replace(r"\*", "[^/]+")
    return re.fullmatch(f"{regex}(/.*)?", path) is not None


def room_of(path):
    found = [room for room in MAY_INCLUDE if matches(room, path)]
    return max(found, key=lambda room: (room.count("/"), len(room)), default=None)


def instance(room, path):
    """`drivers/*` for `drivers/e1000/x.cpp` is `drivers/e1000`: one driver is not another."""
    return "/".join(path.split("/")[: room.count("/") + 1])


def may_include(source, target):
    if target.startswith("interfaces/"):  # generated; the room of its source
        target = "lib/" + target
    here, there = room_of(source), room_of(target)
    if here is None or there is None:
        return here is None
    of_driver = here in ("drivers/*/main.cpp", "drivers/*/domain")
    own = instance("drivers/*" if of_driver else here, source)
    if matches(own, target) and (here == there or of_driver):
        return True
    for allowed in MAY_INCLUDE[here]:
        if allowed == "" or (allowed.endswith("/") and target.startswith(allowed)):
            return True
        if "*" not in allowed and matches(allowed, target):
            if there == allowed or target == allowed:
                return True
    return False


def includes(path, form):
    for number, line in enumerate(lines(path), 1):
        if match := re.match(rf"\s*#\s*include\s+{form}", line):
            yield number, match[1]


def includes_follow_the_table():
    for path in cxx_files():
        for number, target in includes(path, '"([^"]+)"'):
            if target.startswith("lib/base/error.def") or may_include(path, target):
                continue
            yield f"{path}:{number}: {room_of(path)} may not include {target}"


def angle_includes_are_allowed():
    for path in cxx_files():
        if path.startswith(("tests/", "tools/")):  # programs of the host
            continue
        room = max((r for r in ANGLES if r == "" or matches(r, path)), key=len)
        for number, name in includes(path, "<([^>]+)>"):
            if name not in ANGLES[room]:
                yield f"{path}:{number}: <{name}> is not allowed in {room or 'user space'}"


def includes_have_no_cycle():
    graph = {p: [t for _, t in includes(p, '"([^"]+)"') if os.path.isfile(t)] for p in cxx_files()}
    done, path = set(), []

    def visit(node):
        if node in path:
            yield " -> ".join(path[path.index(node) :] + [node])
        elif node not in done:
            path.append(node)
            for target in graph.get(node, []):
                yield from visit(target)
            path.pop()
            done.add(node)

    for node in sorted(graph):
        yield from visit(node)


def banned(pattern, why, paths):
    regex = re.compile(pattern)
    for path in paths:
        for number, code in code_lines(path):
            if regex.search(code):
                yield f"{path}:{number}: {why}"


def assembly_stays_in_its_files():
    paths = [p for p in cxx_files() if not re.fullmatch(ASM_FILES, p)]
    paths = [p for p in paths if not p.startswith("tests/")]
    yield from banned(r"\basm\b|__asm__", "assembly belongs elsewhere", paths)
    for path in files():
        if path.endswith(".S") and not re.fullmatch(ASM_FILES, path):
            if not path.startswith("tests/"):
                yield f"{path}: assembly belongs in cpudriver or lib/os"


def casts_stay_at_the_edges():
    paths = [p for p in cxx_files() if not p.startswith(CASTS)]
    yield from banned(r"\breinterpret_cast\b", "reinterpret_cast outside the edges", paths)


def volatile_is_for_registers():
    paths = [p for p in cxx_files() if p not in VOLATILE and not p.startswith("tests/")]
    why = f"volatile outside {' and '.join(VOLATILE)}"
    yield from banned(r"(?<!asm )\bvolatile\b", why, paths)


def banned_words_are_absent():
    paths = [p for p in cxx_files() if not p.startswith("tests/")]
    yield from banned(r"(\.|->)value\(\)", ".value() is banned: TRY, or * after a test", paths)
    yield from banned(r"\bthread_local\b", "thread_local is banned", paths)
    for path in files():
        if path.endswith((".cpp", ".hpp", ".S", ".py", ".if", ".c", ".sh")):
            for number, line in enumerate(lines(path), 1):
                if re.search(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b", line):
                    yield f"{path}:{number}: unfinished work belongs in an issue"


def no_path_of_one_machine():
    for path in files():
        if path.endswith((".png", ".svg")):
            continue
        for number, line in enumerate(lines(path), 1):
            if re.search(r"/wor" + r"k/|\.\./shar" + r"ed", line):
                yield f"{path}:{number}: names a path of one machine"


def memory_orders_say_why():
    for path in cxx_files():
        if path.startswith("tests/"):
            continue
        text = lines(path)
        for number, code in code_lines(path):
            if "memory_order" not in code:
                continue
            near = text[max(0, number - 4) : number]
            if not any("//" in line for line in near):
                yield f"{path}:{number}: memory_order without `publishes X` or `pairs with Y`"


def headers_begin_with_their_idea():
    for path in cxx_files():
        if path.endswith(".hpp") and not (lines(path) or [""])[0].startswith("//"):
            yield f"{path}:1: the first comment must say the idea of the file"


def readme_of(folder):
    """The README that speaks for a folder: its own, or that of the room it is a part of."""
    while folder and folder not in ("lib", "usr", "drivers"):
        if os.path.isfile(f"{folder}/README.md"):
            return f"{folder}/README.md"
        folder = os.path.dirname(folder)
    return None


def folders_have_a_readme():
    folders = {os.path.dirname(p) for p in cxx_files()} | {"tools", "tests"}
    found = {folder: readme_of(folder) for folder in folders}
    for folder in sorted(folders):
        if not found[folder]:
            yield f"{folder}: has no README.md"
    for readme in sorted(filter(None, set(found.values()))):
        if len(lines(readme)) > 60:
            yield f"{readme}: {len(lines(readme))} lines, 60 are allowed"


def lines_are_short():
    for path in files():
        if path.endswith((".S", ".py", ".ld", ".c", ".sh")):
            for number, line in enumerate(lines(path), 1):
                if len(line) > 100:
                    yield f"{path}:{number}: {len(line)} columns, 100 are allowed"


def sources_are_formatted():
    paths = cxx_files()
    for start in range(0, len(paths), 50):
        words = ["clang-format-19", "--dry-run", "-Werror", *paths[start : start + 50]]
        text = subprocess.run(words, capture_output=True, text=True).stderr
        seen = set()
        for match in re.finditer(r"^(\S+?):(\d+):\d+: error: ", text, re.M):
            if match[1] not in seen:
                seen.add(match[1])
                yield f"{match[1]}:{match[2]}: not formatted; `make format` does it"


SOURCE_RULES = [
    includes_follow_the_table,
    angle_includes_are_allowed,
    includes_have_no_cycle,
    assembly_stays_in_its_files,
    casts_stay_at_the_edges,
    volatile_is_for_registers,
    banned_words_are_absent,
    no_path_of_one_machine,
    memory_orders_say_why,
    headers_begin_with_their_idea,
    folders_have_a_readme,
    lines_are_short,
    docs_name_tests_that_exist,
    docs_say_who_has_control,
    docs_name_every_package,
    sources_are_formatted,
]


def report_sizes():
    """Not a rule: what deserves a second look."""
    for path in files():
        limit = LONG.get(os.path.splitext(path)[1])
        if limit and len(lines(path)) > limit:
            print(f"  long: {path} has {len(lines(path))} lines (look twice over {limit})")
    assembly = [p for p in files() if p.endswith(".S") and not p.startswith("tests/")]
    print(f"  assembly: {sum(len(lines(p)) for p in assembly)} lines in .S files (aim: 600)")


def judge(rules):
    """Runs the rules; how many hold and how many are broken."""
    broken = 0
    for rule in rules:
        complaints = list(rule())
        broken += bool(complaints)
        print(f"{'BROKEN' if complaints else 'ok    '} {rule.__name__.replace('_', ' ')}")
        for complaint in complaints[:40]:
            print(f"    {complaint}")
        if len(complaints) > 40:
            print(f"    and {len(complaints) - 40} more")
    return len(rules) - broken, broken


def main():
    import check_image

    build = os.environ.get("BUILD", "build")
    held, broken = judge(SOURCE_RULES + check_image.rules(build))
    report_sizes()
    check_image.report_sizes(build)
    print(f"check: {held} rules hold, {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    sys.exit(main())
