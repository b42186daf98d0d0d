from __future__ import annotations

from pathlib import Path

import pytest

from localassist.errors import ConfigError
from localassist.settings import load_settings


def write(home: Path, text: str) -> None:
    home.mkdir(exist_ok=True)
    (home / "localassist.toml").write_text(text)


def test_defaults_need_nothing(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, environ={})
    assert settings.home == tmp_path
    assert settings.server.host == "127.0.0.1" and settings.server.api_keys == ()


def test_flags_win_over_environment_over_file(tmp_path: Path) -> None:
    write(tmp_path, "[server]\nport = 1\nhost = 'a'\n[runs]\nconcurrency = 1\n")
    environ = {"LOCALASSIST_SERVER__PORT": "2", "LOCALASSIST_SERVER__HOST": "b"}
    settings = load_settings(tmp_path, environ=environ, server={"port": 3, "host": None})
    assert (settings.server.port, settings.server.host, settings.runs.concurrency) == (3, "b", 1)


def test_the_home_comes_from_the_environment(tmp_path: Path) -> None:
    assert load_settings(environ={"LOCALASSIST_HOME": str(tmp_path)}).home == tmp_path
    shared = load_settings(environ={"XDG_DATA_HOME": str(tmp_path)})
    assert shared.home == tmp_path / "localassist"


def test_tables_and_lists_in_the_environment(tmp_path: Path) -> None:
    environ = {
        "LOCALASSIST_MODELS__ALIASES": '{ "mine" = "smollm2-135m-instruct" }',
        "LOCALASSIST_SERVER__API_KEYS": '["one", "two"]',
    }
    settings = load_settings(tmp_path, environ=environ)
    assert settings.models.aliases == {"mine": "smollm2-135m-instruct"}
    assert [key.get_secret_value() for key in settings.server.api_keys] == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\nprot = 1\n", "server.prot"),
        ("[server]\nport = 'x'\n", "server.port"),
        ("[sever]\n", "sever"),
        ("[server\n", "not valid TOML"),
    ],
)
def test_a_wrong_file_names_the_key_and_the_file(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings(tmp_path, environ={})
    assert "localassist.toml" in caught.value.message


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("LOCALASSIST_SERVER__PORT", "many", "environment variable LOCALASSIST_SERVER__PORT"),
        ("LOCALASSIST_SERVER__PROT", "1", "server.prot"),
        (
            "LOCALASSIST_ENGINE__LORA",
            '[{path = "a.gguf", scal = 2}]',
            "engine.lora.0.scal.*environment variable LOCALASSIST_ENGINE__LORA",
        ),
        ("LOCALASSIST_SEVER__PORT", "1", "LOCALASSIST_SEVER__PORT names no section"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, name: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_settings(tmp_path, environ={name: value})


def test_adapters_are_tables_of_the_file_or_one_list_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path, '[[engine.lora]]\npath = "near.gguf"\n[[engine.lora]]\npath = "~/b"\nscale = 2\n'
    )
    near, far = load_settings(tmp_path, environ={}).engine.lora
    assert (near.path, near.scale) == (tmp_path / "near.gguf", 1.0)
    assert (far.path, far.scale) == (Path.home() / "b", 2.0)
    environ = {"LOCALASSIST_ENGINE__LORA": '[{path = "/c.gguf", scale = 0.5}]'}
    (only,) = load_settings(tmp_path, environ=environ).engine.lora
    assert (only.path, only.scale) == (Path("/c.gguf"), 0.5)


def test_a_configuration_file_that_was_asked_for_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_settings(tmp_path, config_file=tmp_path / "other.toml", environ={})


def test_a_configuration_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "localassist.toml").write_bytes(b"[server]\nhost = '\xff'\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_settings(tmp_path, environ={})
