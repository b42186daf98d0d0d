from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from queue import SimpleQueue

import openai
import pytest

import localassist
from localassist import AsyncLocalAssist, ConfigError, LocalAssist
from localassist.client import host
from localassist.client.client import make_ready
from localassist.engine import ScriptedEngine
from localassist.errors import ModelNotFound
from localassist.services.models import Models
from localassist.settings import load_settings
from tests.server.serving import Stage, scripted

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")


@pytest.fixture(autouse=True)
def _no_other_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that other tests keep open are not counted here."""
    monkeypatch.setattr(host, "_hosts", [])


@pytest.fixture(autouse=True)
def _scripted_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    stage.engine = ScriptedEngine(default_reply="Hello.")
    monkeypatch.setattr(host, "open_runtime", scripted(stage))


def answer(client: LocalAssist) -> str:
    completion = client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "Hi"}]
    )
    return completion.choices[0].message.content or ""


def test_it_is_the_official_client(localassist_home: Path) -> None:
    with LocalAssist(localassist_home) as client:
        assert isinstance(client, openai.OpenAI)
        assert answer(client) == "Hello."


def test_the_environment_of_the_hosted_api_is_not_looked_at(
    localassist_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.openai.com/v1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("LOCALASSIST_SERVER__API_KEYS", '["sk-a-key-for-the-network"]')
    with LocalAssist(localassist_home) as client:
        assert answer(client) == "Hello."


def test_copies_share_the_runtime_and_keep_the_class(localassist_home: Path) -> None:
    with LocalAssist(localassist_home) as client:
        copy = client.with_options(timeout=30)
        assert type(copy) is LocalAssist
        assert answer(copy) == "Hello."
        assert len(host._hosts) == 1


def test_clients_of_one_home_share_a_runtime_until_the_last_closes(tmp_path: Path) -> None:
    first, second = LocalAssist(tmp_path / "a"), LocalAssist(tmp_path / "a")
    other = LocalAssist(tmp_path / "b")
    assert len(host._hosts) == 2
    assistant = first.beta.assistants.create(model="gpt-4o")
    assert second.beta.assistants.retrieve(assistant.id) == assistant
    assert not other.beta.assistants.list().data
    first.close()
    first.close()
    assert answer(second) == "Hello."
    second.close()
    other.close()
    assert host._hosts == []


def test_a_closed_client_can_be_followed_by_a_new_one(localassist_home: Path) -> None:
    with LocalAssist(localassist_home) as client:
        assistant = client.beta.assistants.create(model="gpt-4o")
    with LocalAssist(localassist_home) as client:
        assert client.beta.assistants.retrieve(assistant.id) == assistant


def test_the_model_argument_chooses_what_hosted_names_mean(localassist_home: Path) -> None:
    with LocalAssist(localassist_home, model="smollm2-135m-instruct"):
        assert host._hosts[0].settings.models.default_chat == "smollm2-135m-instruct"
    with pytest.raises(ModelNotFound):
        LocalAssist(localassist_home, model="no-such-model")


def test_a_runtime_that_cannot_open_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "localassist.toml").write_text("[server]\nprot = 1\n")
    with pytest.raises(ConfigError, match="server.prot"):
        LocalAssist(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(localassist.LocalAssistError):
        LocalAssist(tmp_path / "file")
    assert host._hosts == []


async def test_the_async_twin(localassist_home: Path) -> None:
    async with AsyncLocalAssist(localassist_home) as client:
        stream = await client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == "Hello."
    assert host._hosts == []


def test_public_names_are_sorted_and_there() -> None:
    assert localassist.__all__ == sorted(localassist.__all__)
    assert all(getattr(localassist, name) is not None for name in localassist.__all__)
    assert dir(localassist) == localassist.__all__
    with pytest.raises(AttributeError):
        localassist.no_such_name  # noqa: B018


def test_a_program_that_forgets_to_close_ends_cleanly(tmp_path: Path) -> None:
    code = (
        f"from localassist import LocalAssist; c = LocalAssist({str(tmp_path)!r}); c.models.list()"
    )
    command = [sys.executable, "-c", code]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_opening_loads_nothing_that_only_answers_need(localassist_home: Path) -> None:
    """Somebody waits for the prompt of a chat."""
    LocalAssist(localassist_home).close()
    code = (
        "import sys, localassist, localassist.client.assistants\n"
        "localassist.LocalAssist(sys.argv[1]).close()\n"
        "print(*sys.modules)"
    )
    command = [sys.executable, "-c", code, str(localassist_home)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    late = {
        "alembic",
        "llama_cpp",
        "localassist.archive.archive",
        "localassist.engine.remote",
        "localassist.tools.code_interpreter.coder",
        "localassist.tools.guided.caller",
        "openai.types.beta",
        "torch",
    }
    assert late & set(done.stdout.split()) == set()


def test_making_ready_begins_to_load_the_model(
    localassist_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: SimpleQueue[str] = SimpleQueue()
    monkeypatch.setattr(Models, "prepare", lambda self, name: asked.put(name))
    settings = load_settings(home=localassist_home)
    with LocalAssist(settings=settings) as client:
        make_ready(client, settings, "gpt-4o")
        assert asked.get(timeout=30) == "gpt-4o"
