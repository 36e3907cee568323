"""`make longest-path`: what it reads, and how it tells operations apart."""
from types import SimpleNamespace

import longest
import pytest

RUN = """\
P 3 300 150 cnode_copy
B ffffffff80001000 2
P 1 90 90 vector 240
B ffffffff80002000 1
"""

SOURCE = """\
consteval void Invoker::add_capability_rules(Rules& rules) {
    rules.on(null_call, ~0u, {}, [](I&) {});
}

consteval void Invoker::add_dispatcher_rules(Rules& rules) {
    rules.on(Op::yield, dispatcher, execute, [](I& i) {});
    rules.in_registers(call, Kind::endpoint, write, [](I& i) {});
}
"""


def test_a_run_is_read():
    found = longest.parse(RUN.splitlines())
    assert found["cnode_copy"] == longest.Longest(3, 300, 150, {0xFFFFFFFF80001000: 2})
    assert found["vector 240"].most == 90


def test_an_unknown_line_is_refused():
    with pytest.raises(ValueError, match="unknown line"):
        longest.parse(["Q 1"])


def test_the_longest_of_several_guests_is_kept_with_its_blocks():
    other = longest.parse(["P 1 200 200 cnode_copy", "B ffffffff80003000 7"])
    together = longest.merge([longest.parse(RUN.splitlines()), other])
    assert together["cnode_copy"] == longest.Longest(4, 500, 200, {0xFFFFFFFF80003000: 7})


def test_handlers_have_the_names_of_their_lines():
    function = "kernel::Invoker::add_{}_rules(kernel::Invoker::Rules&)"
    handler = function + "::'lambda{}'(kernel::Invoker&)::__invoke(X)"
    lambdas = (("capability", ""), ("dispatcher", ""), ("dispatcher", "0"))
    names = [(16 * i, 16, handler.format(*which)) for i, which in enumerate(lambdas)]
    names.append((999, 1, "kernel::Core::reply_wait(kernel::Dispatcher&)"))
    names.append((1024, 1, "kernel::Core::reply_wait_in_full(kernel::Dispatcher&)"))
    assert longest.operations(SOURCE, names) == {
        0: "null_call", 16: "yield", 32: "call", 999: "reply_wait"
    }  # fmt: skip


def test_tests_that_fail_fail_the_run(monkeypatch, tmp_path, capsys):
    """What they show of the others stays, but not as if all were well."""
    monkeypatch.setattr(longest, "FOLDER", str(tmp_path / "longest"))
    monkeypatch.setattr(longest, "symbols", lambda: [(0, 16, "a")])
    monkeypatch.setattr(longest, "options", lambda _: "")
    monkeypatch.setattr(longest, "instructions_from", lambda blocks: dict.fromkeys(blocks, 1))

    def pytest_run(words, **_):
        (tmp_path / "longest").mkdir()
        (tmp_path / "longest/a.paths").write_text(RUN)
        return SimpleNamespace(returncode=1)

    monkeypatch.setattr(longest.subprocess, "run", pytest_run)
    with pytest.raises(SystemExit, match="longest: pytest ended with 1"):
        longest.main(["tests/system"])
    assert "cnode_copy" in capsys.readouterr().out
