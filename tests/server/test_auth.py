import base64
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from localassist.errors import AuthenticationFailed
from localassist.runtime import open_keys
from localassist.server.auth import Gate, mask
from localassist.services.keys import Keys
from localassist.settings import load_settings

CONFIGURED = [SecretStr("sk-first-key-0001"), SecretStr("sk-second-key-0002")]
DEFAULT = "proj_default"


@pytest.fixture
async def keys() -> AsyncIterator[Keys]:
    async with open_keys(load_settings()) as keys:
        yield keys


@pytest.fixture
def gate(keys: Keys) -> Gate:
    """Asks for one of the configured keys."""
    return Gate(DEFAULT, CONFIGURED, keys)


@pytest.mark.parametrize("header", [None, "", "Bearer anything", "nonsense"])
async def test_without_any_key_everybody_is_let_in(keys: Keys, header: str | None) -> None:
    assert await Gate(DEFAULT, (), keys).project_for(header) == DEFAULT


async def test_every_configured_key_opens_the_default_project(gate: Gate) -> None:
    for key in CONFIGURED:
        assert await gate.project_for(f"Bearer {key.get_secret_value()}") == DEFAULT
        assert await gate.project_for(f"bearer  {key.get_secret_value()} ") == DEFAULT


async def test_the_key_may_be_a_basic_password(gate: Gate) -> None:
    credentials = base64.b64encode(b":sk-first-key-0001").decode()
    assert await gate.project_for(f"Basic {credentials}") == DEFAULT


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "sk-first-key-0001", "Basic %%"])
async def test_no_key_is_said_to_be_missing(gate: Gate, header: str | None) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        await gate.project_for(header)
    assert caught.value.message.startswith("You didn't provide an API key. You need to provide")
    assert (caught.value.status, caught.value.code) == (401, None)


@pytest.mark.parametrize(
    "key",
    ["sk-first-key-000", "sk-first-key-00011", "clé-inconnue-très-longue", "\udcff" * 20],
)
async def test_a_wrong_key_is_refused_and_not_echoed(gate: Gate, key: str) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        await gate.project_for(f"Bearer {key}")
    assert caught.value.message.startswith("Incorrect API key provided: '")
    assert caught.value.code == "invalid_api_key"
    assert key not in caught.value.message


async def test_a_made_key_opens_its_own_project_until_it_is_revoked(keys: Keys) -> None:
    gate = Gate(DEFAULT, (), keys)
    made, secret = await keys.create("anna", "team-a")
    _, other = await keys.create("ben", "team-b")
    project = await gate.project_for(f"Bearer {secret}")
    assert project.startswith("proj_") and project != DEFAULT
    assert await gate.project_for(f"Bearer {other}") not in (project, DEFAULT)
    assert (await keys.revoke("anna")).revoked_at is not None
    with pytest.raises(AuthenticationFailed, match="Incorrect API key"):
        await gate.project_for(f"Bearer {secret}")


async def test_when_the_last_key_is_revoked_the_door_stays_shut(keys: Keys) -> None:
    made, _ = await keys.create("anna", "default")
    await keys.revoke(made.id)
    with pytest.raises(AuthenticationFailed):
        await Gate(DEFAULT, (), keys).project_for(None)


async def test_two_keys_may_open_one_project(keys: Keys) -> None:
    gate = Gate(DEFAULT, (), keys)
    secrets = [(await keys.create(name, "team"))[1] for name in ("anna", "ben")]
    projects = {await gate.project_for(f"Bearer {secret}") for secret in secrets}
    assert len(projects) == 1
    _, secret = await keys.create("me", "default")
    assert await gate.project_for(f"Bearer {secret}") == DEFAULT


async def test_this_process_is_not_asked(keys: Keys) -> None:
    await keys.create("anna", "team-a")
    assert await Gate(DEFAULT, CONFIGURED).project_for(None) == DEFAULT


def test_masking_shows_a_few_characters_of_long_keys_only() -> None:
    assert mask("sk-abcdefghijkl") == "sk-********ijkl"
    assert mask("short-key") == "*********"
