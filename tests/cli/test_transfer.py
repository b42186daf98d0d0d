"""``localassist export`` and ``localassist import``: what they say, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

from tests.archive import hosted
from tests.cli.conftest import Say


def test_a_dump_is_imported_and_exported(tmp_path: Path, say: Say) -> None:
    dump = hosted.write(tmp_path / "dump")
    code, out, _ = say("import", dump, "--dry-run")
    assert code == 0 and out.startswith("Would be imported:")
    code, out, err = say("import", dump)
    assert code == 0 and not err, err
    assert "threads: 2 new" in out and "without their content" in out
    assert "not known and were left out: 2 (assistant.owner, " in out
    assert "read into vector stores: 1." in out
    code, out, err = say("import", dump)
    assert code == 1 and "is there already" in err and "Nothing was imported. " in err
    code, out, _ = say("import", dump, "--on-conflict", "skip")
    assert code == 0 and "threads: 2 skipped" in out
    code, out, err = say("export", "--out", tmp_path / "all.zip")
    assert code == 1 and "file-hosted2" in err and (tmp_path / "all.zip").exists()
    assert "2 threads" in out and "3 run steps" in out
    code, out, err = say("--home", tmp_path / "new", "import", tmp_path / "all.zip")
    assert code == 0 and "messages: 4 new" in out


def test_what_is_wrong_is_said_line_by_line(tmp_path: Path, say: Say) -> None:
    lines = [hosted.message(1, "user", "Hello."), {**hosted.message(2, "user", "x"), "role": "?"}]
    (tmp_path / "bad.jsonl").write_text("\n".join(map(json.dumps, lines)))
    code, out, err = say("import", tmp_path / "bad.jsonl")
    assert code == 1 and "localassist: bad.jsonl line 2: " in err and not out
    code, out, err = say("import", tmp_path / "bad.jsonl", "--skip-invalid")
    assert code == 0 and "messages: 1 new" in out and "left out: bad.jsonl line 2: " in err


def test_what_cannot_be_done_is_one_line(tmp_path: Path, say: Say) -> None:
    (tmp_path / "there.zip").touch()
    for arguments, word in (
        (("import", tmp_path / "missing"), "cannot be read"),
        (("import", tmp_path, "--on-conflict", "maybe"), "--on-conflict"),
        (("export", "--out", tmp_path / "there.zip"), "exists"),
        (("export", "--out", tmp_path / "all.tar"), "zip archive"),
        (("export", "--out", tmp_path / "all.zip", "--project", "none"), "no project 'none'"),
        (("export", "--out", tmp_path / "all.zip", "--thread", "thread_x"), "thread_x"),
    ):
        code, _, err = say(*arguments)
        assert code == 2 and word in err and err.count("\n") == 1, err
    assert not (tmp_path / "all.zip").exists()
