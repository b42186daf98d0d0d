from __future__ import annotations

import json

import pytest

from localassist.cli.main import app


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        app(["keys", *arguments])
    return int(caught.value.code or 0)


def test_a_key_is_shown_once_and_listed_without_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("create", "anna", "--project", "team-a") == 0
    made = capsys.readouterr()
    secret = made.out.strip()
    assert secret.startswith("sk-local-") and len(secret) == 41
    assert "'anna' opens project 'team-a'" in made.err
    assert run("list") == 0
    listed = capsys.readouterr().out
    assert "anna" in listed and "team-a" in listed and f"…{secret[-4:]}" in listed
    assert secret not in listed
    assert run("list", "--json") == 0
    (key,) = json.loads(capsys.readouterr().out)
    assert (key["name"], key["project"], key["revoked_at"]) == ("anna", "team-a", None)


def test_a_revoked_key_stays_on_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("create", "anna") == 0
    assert run("revoke", "anna") == 0
    capsys.readouterr()
    assert run("list", "--json") == 0
    (key,) = json.loads(capsys.readouterr().out)
    assert key["revoked_at"] >= key["created_at"]


@pytest.mark.parametrize(
    ("before", "arguments", "said"),
    [
        ((), ("revoke", "nobody"), "There is no key 'nobody'."),
        ((("create", "a"), ("revoke", "a")), ("revoke", "a"), "is already revoked"),
        ((("create", "a"),), ("create", "a"), "A key 'a' already exists."),
        ((("create", "a"), ("revoke", "a")), ("create", "a"), "A key 'a' already exists."),
        ((), ("create", " "), "A name has 1 to 64 printable characters."),
        ((), ("create", "a\x1b[2J"), "A name has 1 to 64 printable characters."),
        ((), ("create", "a", "--project", "p" * 65), "A project has 1 to 64"),
    ],
)
def test_what_cannot_be_is_one_line(
    capsys: pytest.CaptureFixture[str],
    before: tuple[tuple[str, ...], ...],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    for earlier in before:
        assert run(*earlier) == 0
    capsys.readouterr()
    assert run(*arguments) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and said in err
