"""Names, defaults, and adding and removing models."""

from __future__ import annotations

from pathlib import Path

import pytest

from localassist.errors import (
    ConfigError,
    InvalidRequest,
    ModelFileRejected,
    ModelNotFound,
    StorageUnavailable,
)
from localassist.registry import Catalog, ModelsSettings
from localassist.registry.manifest import to_toml
from tests.registry.conftest import WriteGguf

CHAT, EMBEDDER = "smollm2-135m-instruct", "all-minilm-l6-v2"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "home")


def ids(catalog: Catalog) -> list[str]:
    return [model.id for model in catalog.list()]


def test_a_fresh_installation_has_the_two_embedded_models(catalog: Catalog) -> None:
    assert ids(catalog) == [EMBEDDER, CHAT]
    assert catalog.get(CHAT).context_length == 8192
    assert catalog.get(EMBEDDER).dimensions == 384


@pytest.mark.parametrize("name", [CHAT, "gpt-4o", "gpt-4-1106-preview", "o1", "o3-mini"])
def test_hosted_chat_names_mean_the_default_chat_model(catalog: Catalog, name: str) -> None:
    assert catalog.resolve(name, "chat").id == CHAT


def test_hosted_embedding_names_mean_the_default_embedder(catalog: Catalog) -> None:
    assert catalog.resolve("text-embedding-3-small", "embedding").id == EMBEDDER


def test_an_unknown_name_says_what_there_is(catalog: Catalog) -> None:
    with pytest.raises(ModelNotFound) as caught:
        catalog.resolve("claude", "chat")
    assert caught.value.message == (
        "The model `claude` does not exist or you do not have access to it. "
        f"Available models: {CHAT}."
    )
    assert (caught.value.code, caught.value.status) == ("model_not_found", 404)


def test_a_model_of_the_other_kind_is_unsupported(catalog: Catalog) -> None:
    with pytest.raises(InvalidRequest) as caught:
        catalog.resolve("text-embedding-3-small", "chat")
    assert (caught.value.code, caught.value.param) == ("unsupported_model", "model")


def test_exact_names_win_over_patterns(tmp_path: Path, write_gguf: WriteGguf) -> None:
    settings = ModelsSettings(
        aliases={"team-*": CHAT, "team-a": "a", "gpt-4o": "a", CHAT + "x": EMBEDDER}
    )
    catalog = Catalog(tmp_path / "home", settings)
    catalog.add(write_gguf("a.gguf"))
    catalog.add(write_gguf("gpt-5.gguf"))
    named = {name: catalog.find(name) for name in ("team-a", "team-b", "gpt-4o", "gpt-5", "gpt-4")}
    assert {name: model.id for name, model in named.items() if model is not None} == {
        "team-a": "a",
        "team-b": CHAT,
        "gpt-4o": "a",
        "gpt-5": "gpt-5",
        "gpt-4": CHAT,
    }


def test_settings_win_over_manifests(tmp_path: Path) -> None:
    settings = ModelsSettings(tool_mode={CHAT: "none", "absent": "none"}, quoting={CHAT: "free"})
    found = Catalog(tmp_path, settings).get(CHAT)
    assert (found.tool_mode, found.quoting) == ("none", "free")
    assert Catalog(tmp_path).get(CHAT).quoting == "auto"


def test_patterns_are_case_sensitive_and_can_be_switched_off(tmp_path: Path) -> None:
    assert Catalog(tmp_path).find("GPT-4") is None
    refusing = Catalog(tmp_path, ModelsSettings(hosted_chat_names=()))
    assert refusing.find("gpt-4") is None


def test_an_alias_for_nothing_is_the_operators_error(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, ModelsSettings(aliases={"x": "absent"}))
    with pytest.raises(ConfigError, match="absent"):
        catalog.find("x")


def test_a_manifest_brings_its_own_aliases(tmp_path: Path, write_gguf: WriteGguf) -> None:
    catalog = Catalog(tmp_path / "home")
    catalog.add(write_gguf("a.gguf"))
    path = tmp_path / "home" / "models" / "a.toml"
    path.write_text('aliases = ["llama-*", "l"]\n' + path.read_text())
    assert catalog.resolve("l", "chat").id == catalog.resolve("llama-3", "chat").id == "a"


def test_adding_uses_the_file_where_it_lies(catalog: Catalog, write_gguf: WriteGguf) -> None:
    path = write_gguf("My Tiny.gguf")
    model = catalog.add(path)
    assert model.id == "my-tiny"
    assert catalog.locate(model) == path
    catalog.remove("my-tiny")
    assert path.exists()
    assert ids(catalog) == [EMBEDDER, CHAT]


def test_a_copy_lives_and_dies_with_its_model(catalog: Catalog, write_gguf: WriteGguf) -> None:
    path = write_gguf()
    model = catalog.add(path, copy=True, model_id="mine")
    path.unlink()
    copied = catalog.locate(model)
    catalog.remove("mine")
    assert not copied.exists()


def test_other_processes_see_a_change_at_once(tmp_path: Path, write_gguf: WriteGguf) -> None:
    here, there = Catalog(tmp_path / "home"), Catalog(tmp_path / "home")
    assert ids(here) == ids(there)
    there.add(write_gguf())
    assert here.resolve("tiny", "chat").id == "tiny"
    there.set_default("tiny")
    assert here.default("chat").id == "tiny"
    there.remove("tiny")
    assert here.default("chat").id == CHAT


def test_adding_again_renews_and_a_taken_name_is_refused(
    tmp_path: Path, catalog: Catalog, write_gguf: WriteGguf
) -> None:
    path = write_gguf()
    first = catalog.add(path)
    write_gguf(general__name="Renamed")
    second = catalog.add(path)
    assert (first.id, first.sha256 == second.sha256) == (second.id, False)
    assert catalog.locate(second) == path
    other = write_gguf("other.gguf")
    for taken in ("tiny", CHAT):
        with pytest.raises(ConfigError, match="--name"):
            catalog.add(other, model_id=taken)


def test_nothing_is_kept_of_a_rejected_file(tmp_path: Path, catalog: Catalog) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_text("not a model")
    with pytest.raises(ModelFileRejected):
        catalog.add(bad, copy=True)
    assert not (tmp_path / "home").exists()


def test_shipped_models_stay(catalog: Catalog) -> None:
    with pytest.raises(ConfigError):
        catalog.remove(CHAT)
    with pytest.raises(ModelNotFound):
        catalog.remove("absent")


def test_a_users_manifest_replaces_the_shipped_one_until_removed(
    tmp_path: Path, catalog: Catalog
) -> None:
    shipped = catalog.get(CHAT)
    changed = shipped.model_copy(update={"sampling": {"temperature": 0.0}})
    folder = tmp_path / "home" / "models"
    folder.mkdir(parents=True)
    (folder / f"{CHAT}.toml").write_text(to_toml(changed))
    assert catalog.get(CHAT) == changed
    assert not catalog.is_shipped(CHAT)
    catalog.remove(CHAT)
    assert catalog.get(CHAT) == shipped
    assert catalog.is_shipped(CHAT)


def test_a_default_is_kept_and_forgotten_with_its_model(
    tmp_path: Path, catalog: Catalog, write_gguf: WriteGguf
) -> None:
    catalog.add(write_gguf())
    catalog.set_default("tiny")
    assert Catalog(tmp_path / "home").resolve("gpt-4o", "chat").id == "tiny"
    assert catalog.default("embedding").id == EMBEDDER
    catalog.remove("tiny")
    assert catalog.default("chat").id == CHAT


def test_a_default_that_is_no_model_says_what_to_do(tmp_path: Path, catalog: Catalog) -> None:
    defaults = tmp_path / "home" / "models" / "defaults.json"
    defaults.parent.mkdir(parents=True)
    defaults.write_text('{"chat": "gone"}')
    with pytest.raises(ConfigError, match="`gone`.*localassist models default NAME"):
        catalog.default("chat")
    by_setting = Catalog(tmp_path / "home", ModelsSettings(default_chat="none"))
    with pytest.raises(ConfigError, match="`none`.*models.default_chat"):
        by_setting.default("chat")


def test_a_setting_wins_over_a_choice(tmp_path: Path, write_gguf: WriteGguf) -> None:
    Catalog(tmp_path / "home").add(write_gguf())
    catalog = Catalog(tmp_path / "home", ModelsSettings(default_chat="tiny"))
    with pytest.raises(ConfigError, match="models.default_chat"):
        catalog.set_default(CHAT)
    assert catalog.default("chat").id == "tiny"


@pytest.mark.parametrize("wrong", ["absent", EMBEDDER])
def test_a_default_of_the_wrong_kind_or_absent_is_the_operators_error(
    tmp_path: Path, wrong: str
) -> None:
    with pytest.raises(ConfigError, match=wrong):
        Catalog(tmp_path, ModelsSettings(default_chat=wrong)).default("chat")


@pytest.mark.parametrize("content", ["{", "[]", "\udcff"])
def test_damaged_defaults_are_the_operators_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "models" / "defaults.json"
    path.parent.mkdir()
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match="defaults.json"):
        Catalog(tmp_path).default("chat")


def test_a_models_folder_that_is_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("")
    with pytest.raises(StorageUnavailable):
        Catalog(tmp_path).list()


@pytest.mark.model
def test_the_embedded_models_are_what_their_manifests_say(catalog: Catalog) -> None:
    chat, embedder = catalog.get(CHAT), catalog.get(EMBEDDER)
    assert catalog.locate(chat).name == "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert (catalog.locate(embedder) / "modules.json").is_file()


def test_a_copy_takes_everything_but_its_weights_and_names(
    catalog: Catalog, tmp_path: Path, write_gguf: WriteGguf
) -> None:
    original = catalog.add(write_gguf("a.gguf")).model_copy(
        update={"aliases": ("mine",), "chat_template": "{{ messages }}", "tool_mode": "native"}
    )
    path = write_gguf("b.gguf", general__file_type=7)
    catalog.check_free("a-q8_0")
    copy = catalog.add_copy(path, original, model_id="a-q8_0", description="a, smaller")
    assert catalog.get("a-q8_0") == copy
    assert (copy.quantization, copy.description, copy.aliases) == ("Q8_0", "a, smaller", ())
    assert (copy.chat_template, copy.tool_mode) == ("{{ messages }}", "native")
    assert not path.exists() and catalog.locate(copy).is_relative_to(tmp_path / "home")
    with pytest.raises(ConfigError, match="`a` exists already"):
        catalog.check_free("a")
    catalog.remove("a-q8_0")
    assert not list((tmp_path / "home" / "models" / "files").iterdir())
