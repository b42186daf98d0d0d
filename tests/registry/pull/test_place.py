"""How places are written, and where tokens may go."""

from __future__ import annotations

from pathlib import Path

import pytest

from localassist.errors import ConfigError
from localassist.registry.config import PUBLIC_HUB, ModelsSettings
from localassist.registry.pull.listing import Offer
from localassist.registry.pull.place import HubPlace, UrlPlace, check_hub, parse_place, plain
from localassist.registry.pull.pulling import open_web

HUB = "https://huggingface.co"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("acme/m-GGUF", HubPlace("acme/m-GGUF")),
        ("hf:acme/m-GGUF", HubPlace("acme/m-GGUF")),
        ("hf:acme/m/deep/x.gguf", HubPlace("acme/m", "deep/x.gguf")),
        ("acme/m@v2/x.gguf", HubPlace("acme/m", "x.gguf", "v2")),
        (f"{HUB}/acme/m", HubPlace("acme/m")),
        (f"{HUB}/acme/m/blob/main/a%20b.gguf", HubPlace("acme/m", "a b.gguf")),
        (f"{HUB}/acme/m/resolve/v1/x.gguf?download=true", HubPlace("acme/m", "x.gguf", "v1")),
        ("https://m.example/x.gguf?sig=1#part", UrlPlace("https://m.example/x.gguf?sig=1")),
        ("http://m.example/models/", UrlPlace("http://m.example/models/")),
    ],
)
def test_places_are_understood(text: str, place: object) -> None:
    assert parse_place(text) == place


@pytest.mark.parametrize("text", ["model", "", "/a/b", "a b/c", "ftp://x/y", "https://", "../a"])
def test_what_is_no_place_is_said(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_place(text)


def test_a_path_here_is_told_from_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.gguf").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="models add a/b.gguf"):
        parse_place("a/b.gguf")


def test_secrets_in_an_address_are_refused_and_never_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_place("https://me:secret@m.example/x.gguf")
    assert "secret" not in caught.value.message
    assert plain("https://m.example/x.gguf?sig=secret") == "https://m.example/x.gguf"


@pytest.mark.parametrize("url", ["hub", "file:///x", "https://u:p@hub"])
def test_a_hub_is_an_address(url: str) -> None:
    with pytest.raises(ConfigError, match="not an address of a hub"):
        check_hub(url)


@pytest.mark.parametrize(
    ("place", "hub", "token_env", "sent"),
    [
        (HubPlace("a/b"), PUBLIC_HUB, None, "usual"),
        (HubPlace("a/b"), "https://mirror.example", None, None),
        (UrlPlace("https://mirror.example/x.gguf"), PUBLIC_HUB, None, None),
        (UrlPlace("https://mirror.example/x.gguf"), PUBLIC_HUB, "OWN", "own"),
        (HubPlace("a/b"), "https://mirror.example", "OWN", "own"),
    ],
)
def test_the_hubs_token_is_for_the_public_hub_alone(
    place: HubPlace | UrlPlace, hub: str, token_env: str | None, sent: str | None
) -> None:
    environ = {"HF_TOKEN": "usual", "OWN": "own"}
    with open_web(place, hub, ModelsSettings(), token_env, environ, print) as web:
        assert web._access.token == sent
        assert "usual" not in repr(web._access) and "own" not in repr(web._access)


def test_a_token_is_not_sent_in_the_clear_nor_taken_from_nowhere() -> None:
    place = UrlPlace("http://mirror.example/x.gguf")
    with pytest.raises(ConfigError, match="without encryption"):
        open_web(place, PUBLIC_HUB, ModelsSettings(), "OWN", {"OWN": "own"}, print)
    with pytest.raises(ConfigError, match="OWN is not set"):
        open_web(place, PUBLIC_HUB, ModelsSettings(), "OWN", {}, print)


def test_certificates_that_are_none_are_said(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    settings = ModelsSettings(ca_file=tmp_path / "ca.pem")
    with pytest.raises(ConfigError, match="models.ca_file: .*ca.pem holds no certificates"):
        open_web(HubPlace("a/b"), PUBLIC_HUB, settings, None, {}, print)


@pytest.mark.parametrize(
    ("name", "quantization"),
    [
        ("Qwen2.5-7B-Instruct-Q4_K_M.gguf", "Q4_K_M"),
        ("qwen2.5-0.5b-instruct-q8_0.gguf", "Q8_0"),
        ("x.IQ3_XXS.gguf", "IQ3_XXS"),
        ("BF16/big-BF16.gguf", "BF16"),
        ("phi-4-f16.gguf", "F16"),
        ("gemma-3-4b-it-q4_0.gguf", "Q4_0"),
        ("model.gguf", ""),
    ],
)
def test_a_quantization_is_read_from_a_name(name: str, quantization: str) -> None:
    assert Offer(name, ()).quantization == quantization
