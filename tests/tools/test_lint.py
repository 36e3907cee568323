"""`make lint`: findings are findings, and a clang-tidy that does not run is no clean tree."""
import json

import lint
import pytest

FINDING = "{root}/net/a.cpp:3:1: warning: a magic number [readability-magic-numbers]"


@pytest.fixture
def clang_tidy(tmp_path, monkeypatch):
    """clang_tidy(script) stands in for the real one; net/a.cpp is the only source."""

    def plant(script):
        (tmp_path / "bin").mkdir()
        program = tmp_path / "bin/clang-tidy-19"
        program.write_text(f"#!/bin/sh\n{script.format(root=tmp_path)}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
        monkeypatch.setattr(lint, "BUILD", "build")
        monkeypatch.chdir(tmp_path)
        (tmp_path / "build").mkdir()
        entry = {"file": "net/a.cpp", "output": "build/obj/domain/net/a.o"}
        (tmp_path / "build/compile_commands.json").write_text(json.dumps([entry]))

    return plant


@pytest.mark.parametrize(
    "script, code, line",
    [
        ("true", 0, "lint: 0 findings"),
        (f"echo '{FINDING}'", 1, "net/a.cpp:3: a magic number [readability-magic-numbers]"),
        (f"echo '{FINDING}'; exit 1", 1, "lint: 1 findings"),
        ("echo Error parsing .clang-tidy >&2; exit 1", 1,
         "net/a.cpp: Error parsing .clang-tidy [clang-tidy failed]"),
        ("kill -SEGV $$", 1, "net/a.cpp: ended with -11 [clang-tidy failed]"),
    ],
)  # fmt: skip
def test_what_clang_tidy_says_is_told(clang_tidy, capsys, script, code, line):
    clang_tidy(script)
    assert lint.main([]) == code
    assert line in capsys.readouterr().out.splitlines()


def test_a_missing_list_of_commands_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lint, "BUILD", "build")
    with pytest.raises(SystemExit, match="compile_commands.json does not exist; `make compdb`"):
        lint.main([])
