"""The rules of `make check` find what they are for: each test plants one offender."""
import subprocess

import check
import check_image
import pytest


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """tree({path: text}) is a repository with just these files."""

    def plant(contents):
        for path, text in contents.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
        monkeypatch.chdir(tmp_path)
        check.files.cache_clear()
        check.lines.cache_clear()

    yield plant
    check.files.cache_clear()
    check.lines.cache_clear()


@pytest.mark.parametrize(
    "source, target",
    [
        ("kernel/a.hpp", "lib/base/result.hpp"),
        ("kernel/a.hpp", "kernel/b.hpp"),
        ("cpudriver/x86_64/a.cpp", "cpudriver/first_domain.hpp"),
        ("cpudriver/x86_64/a.cpp", "cpudriver/x86_64/b.hpp"),
        ("cpudriver/a.cpp", "cpudriver/x86_64/b.hpp"),
        ("monitor/a.cpp", "lib/os/domain.hpp"),
        ("monitor/a.cpp", "interfaces/monitor.hpp"),
        ("drivers/e1000/rings.hpp", "lib/netq/ring.hpp"),
        ("drivers/e1000/main.cpp", "drivers/e1000/rings.hpp"),
        ("drivers/e1000/main.cpp", "drivers/e1000/domain/driver.hpp"),
        ("drivers/e1000/domain/driver.hpp", "drivers/e1000/rings.hpp"),
        ("drivers/e1000/domain/driver.hpp", "lib/os/domain.hpp"),
        ("drivers/e1000/main.cpp", "lib/os/domain.hpp"),
        ("drivers/e1000/main.cpp", "interfaces/nic.hpp"),
        ("net/tcp/a.cpp", "net/wire/tcp.hpp"),
        ("net/netd/services.cpp", "net/stack.hpp"),
        ("net/netcard/main.cpp", "drivers/e1000/domain/driver.hpp"),
        ("net/netcard/main.cpp", "net/netd/services.hpp"),
        ("net/netd/services.cpp", "lib/os/domain.hpp"),
        ("usr/httpd/main.cpp", "usr/httpd/http.hpp"),
        ("tests/net/a_test.cpp", "net/netd/x.hpp"),
    ],
)
def test_the_table_allows(source, target):
    assert check.may_include(source, target)


@pytest.mark.parametrize(
    "source, target",
    [
        ("kernel/a.hpp", "lib/hw/mmio.hpp"),
        ("kernel/a.hpp", "cpudriver/core.hpp"),
        ("lib/base/a.hpp", "lib/abi/slot.hpp"),
        ("lib/ump/a.hpp", "lib/async/task.hpp"),
        ("lib/rpc/a.hpp", "lib/os/domain.hpp"),
        ("cpudriver/x86_64/a.cpp", "cpudriver/timer.hpp"),
        ("monitor/a.cpp", "kernel/core.hpp"),
        ("drivers/e1000/rings.hpp", "lib/os/domain.hpp"),
        ("drivers/e1000/rings.hpp", "drivers/pci/bus.hpp"),
        ("drivers/e1000/main.cpp", "drivers/pci/bus.hpp"),
        ("drivers/e1000/rings.hpp", "drivers/e1000/domain/driver.hpp"),
        ("drivers/e1000/domain/driver.hpp", "drivers/pci/bus.hpp"),
        ("drivers/e1000/rings.hpp", "interfaces/nic.hpp"),
        ("net/stack.cpp", "lib/os/domain.hpp"),
        ("net/stack.cpp", "net/netd/server.hpp"),
        ("net/netd/services.cpp", "net/netcard/a.hpp"),
        ("net/netd/services.cpp", "drivers/e1000/domain/driver.hpp"),
        ("net/netcard/main.cpp", "drivers/pci/bus.hpp"),
        ("usr/httpd/main.cpp", "net/stack.hpp"),
        ("usr/httpd/main.cpp", "usr/shell/words.hpp"),
        ("lib/os/a.cpp", "tests/support/fake.hpp"),
    ],
)
def test_the_table_refuses(source, target):
    assert not check.may_include(source, target)


@pytest.mark.parametrize(
    "rule, path, text, line",
    [
        ("includes_follow_the_table", "kernel/a.hpp", '//\n#include "lib/hw/x.hpp"\n', 2),
        ("angle_includes_are_allowed", "kernel/a.hpp", "#include <atomic>\n", 1),
        ("angle_includes_are_allowed", "usr/x/a.cpp", "#include <string>\n", 1),
        ("assembly_stays_in_its_files", "usr/x/a.cpp", 'void f() { asm("nop"); }\n', 1),
        ("casts_stay_at_the_edges", "usr/x/a.cpp", "int* p = reinterpret_cast<int*>(q);\n", 1),
        ("volatile_is_for_registers", "net/a.cpp", "\nvolatile int x;\n", 2),
        ("banned_words_are_absent", "net/a.cpp", "int x = r.value();\n", 1),
        ("banned_words_are_absent", "net/a.cpp", "// TO" + "DO later\n", 1),
        ("no_path_of_one_machine", "docs/a.md", "see /wor" + "k/main\n", 1),
        ("memory_orders_say_why", "lib/ump/a.hpp", "x.store(1, std::memory_order_release);\n", 1),
        ("headers_begin_with_their_idea", "net/a.hpp", "#pragma once\n", 1),
        ("lines_are_short", "tools/a.py", "x = '" + "y" * 100 + "'\n", 1),
        ("docs_name_tests_that_exist", "docs/a.md", "\n`Arp.AnswersNobody` holds it\n", 2),
        ("docs_name_tests_that_exist", "net/README.md", "`AnswersToNobody` holds it\n", 1),
        ("docs_name_tests_that_exist", "docs/a.md", "`AFrameOfNobody` holds it\n", 1),
        ("docs_name_tests_that_exist", "tests/README.md", "`--gtest_filter=Arp.*`\n", 1),
        ("docs_name_tests_that_exist", "docs/a/b.md", "held by test_nobody\n", 1),
        ("sources_are_formatted", "net/a.cpp", "int  x;\n", 1),
    ],
)
def test_a_planted_offender_is_found(tree, rule, path, text, line):
    tree({path: text})
    complaints = list(getattr(check, rule)())
    assert len(complaints) == 1 and complaints[0].startswith(f"{path}:{line}:")


def test_a_test_is_known_by_its_suite_and_its_name(tree):
    page = "`Arp.Answers`, `Dns.Asks`, `Arp.Asks`, `Arp.*`, test_ping, `MostRecentlyUsed`\n"
    tests = "TEST(Arp, Answers) {}\nTEST_F(Dns, Asks) {}\n"
    types = "//\nstruct MostRecentlyUsed {};\n"
    more = {"tests/system/test_a.py": "class A:\n    def test_ping(self):\n        pass\n"}
    tree({"docs/a.md": page, "tests/net/a_test.cpp": tests, "lib/base/a.hpp": types, **more})
    assert list(check.docs_name_tests_that_exist()) == ["docs/a.md:1: there is no test Arp.Asks"]


def test_the_page_on_security_names_who_has_control(tree):
    manifest = "# domain x control\ndomain pci 1 20 2048 control\nimage lines 10 16384 control\n"
    row = "\n| who has `control` in the manifest | the names `pci` | may: `pci`, `httpd` (why) |\n"
    tree({"usr/init/manifest": manifest + "domain httpd 3 10 4096\n", "docs/security.md": row})
    assert list(check.docs_say_who_has_control()) == [
        "docs/security.md:2: httpd has no control",
        "usr/init/manifest:3: docs/security.md does not say that lines has control",
    ]
    tree({"docs/security.md": "# Security\n"})
    assert list(check.docs_say_who_has_control()) == [
        "docs/security.md: says nowhere who has control"
    ]


def test_the_page_on_dependencies_names_every_package(tree):
    table = "| package | why |\n| --- | --- |\n| make, gcc | to build |\n"
    table += "| snakemake | not installed |\n"
    tree({"tools/packages.txt": "# all\nmake  x\nwrk  y\n", "docs/dependencies.md": table})
    assert list(check.docs_name_every_package()) == [
        "docs/dependencies.md: does not say what wrk is for",
        "tools/packages.txt: docs/dependencies.md explains gcc, which is not installed",
    ]


def test_comments_and_strings_are_no_code(tree):
    tree({"net/a.cpp": '// asm and volatile\n/* x.value()\n asm */ const char* s = "asm";\n'})
    assert not list(check.assembly_stays_in_its_files())
    assert not list(check.volatile_is_for_registers())
    assert not list(check.banned_words_are_absent())


def test_a_memory_order_with_its_reason_passes(tree):
    tree({"lib/ump/a.hpp": "// publishes body\nx.store(1, std::memory_order_release);\n"})
    assert not list(check.memory_orders_say_why())


def test_an_include_cycle_is_found(tree):
    tree({"net/a.hpp": '#include "net/b.hpp"\n', "net/b.hpp": '#include "net/a.hpp"\n'})
    assert list(check.includes_have_no_cycle()) == ["net/a.hpp -> net/b.hpp -> net/a.hpp"]


def test_a_folder_without_readme_is_found(tree):
    readmes = {f"{folder}/README.md": "" for folder in ("tools", "tests", "kernel", "lib")}
    tree({**readmes, "net/a.hpp": "//\n", "lib/hw/b.hpp": "//\n", "kernel/deep/c.hpp": "//\n"})
    assert list(check.folders_have_a_readme()) == [
        "lib/hw: has no README.md",
        "net: has no README.md",
    ]


def compile(tmp_path, text, *flags):
    (tmp_path / "a.cpp").write_text(text)
    words = ["clang++-19", "-O2", "-ffreestanding", "-c", *flags, str(tmp_path / "a.cpp")]
    subprocess.run([*words, "-o", str(tmp_path / "a.o")], check=True)
    return str(tmp_path / "a.o")


POLL = 'extern "C" [[gnu::section(".text.poll")]] int wait(const volatile int* p) {'


def test_a_polling_loop_without_pause_is_found(tmp_path):
    text = POLL + " while (*p == 0) {} return 1; }"
    found = list(check_image.loops_without_pause(
        check_image.disassemble(compile(tmp_path, text), ".text.poll")))  # fmt: skip
    assert len(found) == 1


def test_a_polling_loop_with_pause_passes(tmp_path):
    text = POLL + " while (*p == 0) __builtin_ia32_pause(); return 1; }"
    text = check_image.disassemble(compile(tmp_path, text), ".text.poll")
    assert "pause" in text and not list(check_image.loops_without_pause(text))


def test_a_walk_within_one_turn_of_a_polling_loop_passes(tmp_path):
    text = "struct N { N* next; volatile int* line; };"
    text += 'extern "C" [[gnu::section(".text.poll")]] bool wait(N* first, int turns) {'
    text += "for (; turns; --turns, __builtin_ia32_pause())"
    text += "for (N* n = first; n; n = n->next) if (*n->line) return true; return false; }"
    text = check_image.disassemble(compile(tmp_path, text), ".text.poll")
    assert not list(check_image.loops_without_pause(text))
    assert len(list(check_image.loops_without_pause(text.replace("pause", "nop")))) == 1


@pytest.mark.parametrize(
    "text, count",
    [
        ("float f(float a) { return a * 2; }", 1),
        ("long double f(long double a) { return a * 2; }", 1),
        ("unsigned long f(unsigned long a) { return a * 2; }", 0),
        ('void f(char* p) { asm("fxsave64 (%0); fxrstor64 (%0); fninit" :: "r"(p)); }', 0),
    ],
)
def test_vector_instructions_are_found(tmp_path, text, count):
    found = list(check_image.vector_instructions(check_image.disassemble(compile(tmp_path, text))))
    assert bool(found) == bool(count), found


def test_globals_are_found_and_constants_are_not(tmp_path):
    text = "int counter = 3; const int table[] = {1, 2}; static int hidden; extern const int* p;"
    text += "int f(int i) { return counter + table[i] + hidden++ + (p == table); }"
    found = check_image.writable_objects(compile(tmp_path, text))
    assert sorted(found) == ["_ZL6hidden", "counter"]


def test_a_global_is_known_by_its_own_name(tmp_path):
    text = "namespace cpu { namespace { int hidden = 1; } int shown; int f() { return hidden++; } }"
    text += 'extern "C" { int plain; }'
    found = check_image.writable_objects(compile(tmp_path, text))
    assert {check_image.plain_name(n) for n in found} == {"hidden", "shown", "plain"}


def test_a_static_constructor_is_found(tmp_path):
    assert check_image.has_initializers(compile(tmp_path, "int f(); int x = f();"))
    assert not check_image.has_initializers(compile(tmp_path, "int x = 4;"))
