import base64

import pytest
from pydantic import SecretStr

from localassist.errors import AuthenticationFailed
from localassist.server.auth import check_api_key, mask

KEYS = [SecretStr("sk-first-key-0001"), SecretStr("sk-second-key-0002")]


@pytest.mark.parametrize("header", [None, "", "Bearer anything", "nonsense"])
def test_without_configured_keys_everybody_is_let_in(header: str | None) -> None:
    check_api_key(header, [])


def test_every_configured_key_opens() -> None:
    for key in KEYS:
        check_api_key(f"Bearer {key.get_secret_value()}", KEYS)
        check_api_key(f"bearer  {key.get_secret_value()} ", KEYS)


def test_the_key_may_be_a_basic_password() -> None:
    credentials = base64.b64encode(b":sk-first-key-0001").decode()
    check_api_key(f"Basic {credentials}", KEYS)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "sk-first-key-0001", "Basic %%"])
def test_no_key_is_said_to_be_missing(header: str | None) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        check_api_key(header, KEYS)
    assert caught.value.message.startswith("You didn't provide an API key. You need to provide")
    assert (caught.value.status, caught.value.code) == (401, None)


@pytest.mark.parametrize(
    "key", ["sk-first-key-000", "sk-first-key-00011", "clé-inconnue-très-longue"]
)
def test_a_wrong_key_is_refused_and_not_echoed(key: str) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        check_api_key(f"Bearer {key}", KEYS)
    assert caught.value.message.startswith("Incorrect API key provided: '")
    assert caught.value.code == "invalid_api_key"
    assert key not in caught.value.message


def test_masking_shows_a_few_characters_of_long_keys_only() -> None:
    assert mask("sk-abcdefghijkl") == "sk-********ijkl"
    assert mask("short-key") == "*********"
