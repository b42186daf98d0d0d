from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import update

from localassist.cli import prune
from localassist.cli.main import app
from localassist.engine import ScriptedEngine
from localassist.errors import ConfigError, StorageUnavailable
from localassist.runtime import vacuum
from localassist.settings import load_settings
from localassist.storage.database import Database
from localassist.storage.process_lock import ProcessLock
from localassist.storage.tables import MessageRow, ThreadRow
from tests.runs.conftest import OpenRuntime, begin, open_scripted

__all__ = ["open_scripted"]
LONG_AGO = 1_600_000_000


def run(home: Path, *arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        app(["--home", str(home), *arguments])
    return int(caught.value.code or 0)


@pytest.fixture
async def home(open_scripted: OpenRuntime) -> Path:
    """A data folder with an old thread and a new one."""
    async with open_scripted(ScriptedEngine(model_id="scripted")) as runtime:
        old, _ = await begin(runtime), await begin(runtime)
        home = runtime.settings.home
    database = Database.open(home, runtime.settings.storage)
    for table, column in ((ThreadRow, ThreadRow.id), (MessageRow, MessageRow.thread_id)):
        aged = update(table).where(column == old.thread_id).values(created_at=LONG_AGO)
        await database.write(lambda session, aged=aged: session.execute(aged))
    await database.close()
    return home


def test_a_dry_run_says_what_would_go(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert run(home, "prune", "--dry-run", "--thread-days", "30") == 0
        said = capsys.readouterr()
        assert "would go" in said.out and "threads" in said.out and "30 days" in said.out
    assert run(home, "prune", "--thread-days", "30", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    threads = told["removed"][0]
    assert (told["dry_run"], threads["what"], threads["count"]) == (False, "threads", 1)
    assert threads["bytes"] > 0 and threads["setting"] == "retention.thread_days"
    assert run(home, "prune", "--dry-run", "--thread-days", "30", "--json") == 0
    assert json.loads(capsys.readouterr().out)["removed"][0]["count"] == 0


def test_without_settings_nothing_of_a_caller_goes(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(home, "prune") == 0
    said = capsys.readouterr().out
    assert "ever" in said
    assert run(home, "prune", "--dry-run", "--thread-days", "30", "--json") == 0
    assert json.loads(capsys.readouterr().out)["removed"][0]["count"] == 1


def test_it_is_readable_in_a_narrow_place(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune.console, "_width", 40)
    assert run(home, "prune", "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 40 and "\x1b" not in line for line in lines)


@pytest.mark.parametrize("days", ["0", "-1", "soon"])
def test_days_are_days(home: Path, days: str) -> None:
    assert run(home, "prune", "--thread-days", days) == 2


def test_vacuum_keeps_away_from_a_service(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service = ProcessLock(home / "stores" / ".ingest.lock")
    assert service.acquire()
    with pytest.raises(ConfigError, match="--live"):
        app(["--home", str(home), "vacuum"])
    assert run(home, "vacuum", "--live") == 0
    service.release()
    assert run(home, "vacuum") == 0
    assert capsys.readouterr().out.count("The database took") == 2


def test_another_database_is_not_vacuumed(tmp_path: Path) -> None:
    url = "postgresql+psycopg://nobody@127.0.0.1:1/none"
    with pytest.raises((ConfigError, StorageUnavailable)):
        vacuum(load_settings(tmp_path, storage={"url": url}), is_live=False)
