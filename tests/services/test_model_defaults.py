"""What a model does where a request does not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from localassist.chat.formats import PLAIN
from localassist.chat.prompt import PromptBuilder
from localassist.chat.template import ChatTemplate
from localassist.core import ChatMessage
from localassist.engine import ScriptedEngine
from localassist.errors import ConfigError
from localassist.registry import Catalog
from localassist.services.model_defaults import change
from tests.registry.gguf_files import gguf

SHIPPED = "smollm2-135m-instruct"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = Catalog(tmp_path / "home")
    (tmp_path / "m.gguf").write_bytes(gguf())
    catalog.add(tmp_path / "m.gguf")
    return catalog


def test_values_are_set_and_taken_back(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text("{{ messages[0].content }}")
    change(
        catalog,
        "m",
        [
            "temperature=0.25",
            "sampling.top_k=40",
            "context_length=256",
            "tool_mode=native",
            "system_prompt=A=B",
            "aliases=x, team-*",
            f"chat_template=@{tmp_path / 't.jinja'}",
        ],
    )
    model = Catalog(tmp_path / "home").get("m")
    assert model.sampling == {"temperature": 0.25, "top_k": 40}
    assert (model.context_length, model.tool_mode, model.system_prompt) == (256, "native", "A=B")
    assert model.aliases == ("x", "team-*")
    assert model.chat_template == "{{ messages[0].content }}"
    change(catalog, "m", ["temperature=", "system_prompt=", "tool_mode=", "aliases="])
    model = catalog.get("m")
    assert (model.sampling, model.system_prompt, model.tool_mode) == ({"top_k": 40}, None, "auto")
    assert model.aliases == ()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("temperature", "write key=value"),
        ("heat=1", "`heat` cannot be set; there are temperature"),
        ("sha256=0", "`sha256` cannot be set"),
        ("temperature=hot", "m: sampling.temperature: .*number"),
        ("temperature=3", "less than or equal to 2"),
        ("tool_mode=psychic", "m: tool_mode"),
        ("context_length=513", "more than the 512 tokens"),
        ("chat_template={% if %}", "chat_template: .* not valid"),
        ("chat_template=@absent.jinja", "absent.jinja cannot be read"),
    ],
)
def test_what_is_wrong_changes_nothing(catalog: Catalog, value: str, said: str) -> None:
    before = catalog.get("m")
    with pytest.raises(ConfigError, match=said):
        change(catalog, "m", ["top_k=5", value])
    assert catalog.get("m") == before


def test_a_shipped_model_can_be_changed_and_brought_back(catalog: Catalog) -> None:
    shipped = catalog.get(SHIPPED)
    change(catalog, SHIPPED, ["temperature=0.5"])
    assert catalog.get(SHIPPED).sampling == {"temperature": 0.5, "repeat_penalty": 1.1}
    catalog.remove(SHIPPED)
    assert catalog.get(SHIPPED) == shipped


def test_a_models_system_prompt_begins_conversations_without_one() -> None:
    engine = ScriptedEngine()
    template = ChatTemplate(None, {})
    prompts = PromptBuilder(engine, template, PLAIN, "m", "Be brief.")
    asked = ChatMessage("user", "Why?")
    own = ChatMessage("system", "Rhyme.")
    assert "system\nBe brief." in prompts.build([asked]).text
    assert "Be brief." not in prompts.build([own, asked]).text
