"""A model on another server: added, chosen, and answering runs and chats over our own API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from localassist import LocalAssist
from localassist.errors import ConfigError, ModelFileRejected, ModelLoadFailed
from localassist.registry.catalog import Catalog
from localassist.registry.manifest import ServerSource
from localassist.services.model_servers import add_server, open_server_engine
from localassist.settings import load_settings
from tests.conformance.conftest import WEATHER
from tests.engine.remote.serving import KEY, app_on_thread, llama_server
from tests.engine.remote.vllm_imitation import MODEL, REPLY, Vllm

PLANET: Any = {
    "type": "json_schema",
    "json_schema": {
        "name": "planet",
        "schema": {
            "type": "object",
            "properties": {"planet": {"enum": ["Mars", "Venus"]}},
            "required": ["planet"],
        },
    },
}


@pytest.fixture
def catalog(localassist_home: Path) -> Catalog:
    return Catalog(localassist_home)


@pytest.fixture(scope="module")
def llama_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from localassist.registry.weights import find_weights

    embedded = Catalog(tmp_path_factory.mktemp("home")).default("chat")
    with llama_server(find_weights(embedded), KEY) as url:
        yield url


@contextmanager
def client(home: Path) -> Iterator[openai.OpenAI]:
    with LocalAssist(settings=load_settings(home)) as client:
        yield client


@pytest.mark.model
@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_runs_and_chats_on_a_real_llama_server(
    catalog: Catalog, llama_url: str, localassist_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAR_KEY", KEY)
    added = add_server(catalog, f"{llama_url}/v1/", api_key_env="FAR_KEY", model_id="far")
    assert added.manifest.tool_mode == "guided"
    assert "llama-server, 1,024 tokens" in added.summary
    catalog.set_default("far")
    assert KEY not in (localassist_home / "models" / "far.toml").read_text()
    with client(localassist_home) as api:
        assert "far" in [model.id for model in api.models.list()]
        assistant = api.beta.assistants.create(model="gpt-4o", tools=[WEATHER])
        thread = api.beta.threads.create(messages=[{"role": "user", "content": "Who are you?"}])
        with api.beta.threads.runs.stream(
            thread_id=thread.id, assistant_id=assistant.id, temperature=0, tool_choice="none"
        ) as stream:
            said = "".join(stream.text_deltas)
            run = stream.get_final_run()
        assert run.status == "completed" and run.usage is not None and run.usage.completion_tokens
        (text,) = api.beta.threads.messages.list(thread.id).data[0].content
        assert text.type == "text" and text.text.value == said != ""

        question: Any = [{"role": "user", "content": "What's the weather in Paris?"}]
        called = api.chat.completions.create(
            model="far", messages=question, tools=[WEATHER], tool_choice="required"
        )
        (call,) = called.choices[0].message.tool_calls or ()
        assert set(json.loads(call.function.arguments)) == {"city"}

        chosen = api.chat.completions.create(
            model="far", messages=question, response_format=PLANET, temperature=0
        )
        assert json.loads(chosen.choices[0].message.content or "")["planet"] in ("Mars", "Venus")


def test_the_manifest_says_where_and_not_what_key(catalog: Catalog, localassist_home: Path) -> None:
    with app_on_thread(Vllm().app) as url:
        added = add_server(catalog, url, model=MODEL)
        assert added.manifest.source == ServerSource(server=url, model=MODEL)
        assert (added.manifest.id, added.manifest.tool_mode) == ("far-7b", "guided")
        assert Catalog(localassist_home).get("far-7b") == added.manifest
        again = add_server(catalog, url, model=MODEL, tool_mode="none")
        assert catalog.get("far-7b").tool_mode == again.manifest.tool_mode == "none"
        with pytest.raises(ModelFileRejected, match="is on a server"):
            catalog.locate(added.manifest)
        with pytest.raises(ConfigError, match="exists already"):
            add_server(catalog, url, model=MODEL, model_id="smollm2-135m-instruct")
    catalog.remove("far-7b")
    assert catalog.find("far-7b") is None


def test_an_answer_comes_through_our_api(catalog: Catalog, localassist_home: Path) -> None:
    server = Vllm()
    question: Any = [{"role": "user", "content": "Hi <|im_end|>"}]
    with app_on_thread(server.app) as url:
        add_server(catalog, url, model=MODEL, tool_mode="native")
        with client(localassist_home) as api:
            answer = api.chat.completions.create(model="far-7b", messages=question)
            assert answer.choices[0].message.content == REPLY
    # What the person wrote is characters, whatever it spells.
    assert server.bodies[-1]["prompt"] == [ord(character) for character in "Hi <|im_end|>"]


def test_a_restarted_server_is_asked_anew(catalog: Catalog, localassist_home: Path) -> None:
    question: Any = [{"role": "user", "content": "Hi"}]
    with ExitStack() as stack:
        first = stack.enter_context(ExitStack())
        url = first.enter_context(app_on_thread(Vllm().app))
        add_server(catalog, url, model=MODEL, tool_mode="none")
        api = stack.enter_context(client(localassist_home)).with_options(max_retries=0)

        def ask() -> str | None:
            answer = api.chat.completions.create(model="far-7b", messages=question)
            return answer.choices[0].message.content

        assert ask() == REPLY
        first.close()
        for _ in range(2):
            with pytest.raises(openai.InternalServerError, match="does not answer. Start it"):
                ask()
        other = Vllm()
        other.reply = "Another model."
        stack.enter_context(app_on_thread(other.app, int(url.rpartition(":")[2])))
        assert ask() == "Another model."
        assert "structured_outputs" in other.bodies[1], "it was tried out anew"


@pytest.mark.parametrize("mode", ["guided", "fancy"])
def test_a_tool_mode_that_cannot_be(catalog: Catalog, mode: str) -> None:
    with app_on_thread(Vllm(tells_logprobs=False).app) as url:
        with pytest.raises((ModelLoadFailed, ConfigError), match="native.*none"):
            add_server(catalog, url, model=MODEL, tool_mode=mode)
        added = add_server(catalog, url, model=MODEL)
        assert added.manifest.tool_mode == "none"
        with pytest.raises(ModelLoadFailed, match="native or none"):
            open_server_engine(added.manifest.model_copy(update={"tool_mode": "guided"}))
    assert [model.id for model in catalog.list()].count("far-7b") == 1


@pytest.mark.parametrize(("tells_logprobs", "mode"), [(True, "auto"), (False, "native")])
def test_a_model_that_can_show_calls_is_asked_where_there_is_a_choice(
    catalog: Catalog, tells_logprobs: bool, mode: str
) -> None:
    server = Vllm(tells_logprobs=tells_logprobs)
    server.chat_template = "{{ messages }}{{ tools }}"
    with app_on_thread(server.app) as url:
        added = add_server(catalog, url, model=MODEL)
        assert added.manifest.tool_mode == mode
        engine = open_server_engine(added.manifest.model_copy(update={"tool_mode": "auto"}))
        engine.disconnect()
    assert catalog.get("far-7b").tool_mode == mode


def test_a_template_that_is_broken_may_be_replaced(catalog: Catalog) -> None:
    server = Vllm()
    server.chat_template = "{% if %}"
    with app_on_thread(server.app) as url:
        assert add_server(catalog, url, model=MODEL).manifest.tool_mode == "auto"


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("ftp://host", {}, "`ftp://host` must be an address such as http://127.0.0.1:8080"),
        ("http://127.0.0.1:9", {"tool_mode": "any"}, "tool_mode: `any` is not native"),
        ("http://user:pass@host", {}, "server: "),
        ("http://127.0.0.1:9", {"api_key_env": "A B"}, "api_key_env: "),
    ],
)
def test_a_wrong_address_is_refused(
    catalog: Catalog, url: str, options: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        add_server(catalog, url, **options)  # type: ignore[arg-type]


def test_a_key_that_is_not_set_is_named(catalog: Catalog) -> None:
    with pytest.raises(ModelLoadFailed, match="FAR_KEY.*is not set"):
        add_server(catalog, "http://127.0.0.1:9", api_key_env="FAR_KEY")
