"""The pages of documentation over HTTP, and as HTML."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from html.parser import HTMLParser
from typing import cast

import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp

from localassist.pages import all_pages, sections
from localassist.server.pages import SEARCH_INDEX, asset, page_html
from localassist.server.routes import docs
from localassist.settings import load_settings
from tests.server.asgi import Exchange, request
from tests.server.serving import Stage, on_socket

PAGES = Starlette(routes=docs.ROUTES)


async def get(path: str, app: ASGIApp = PAGES) -> Exchange:
    return await request(app, "GET", path)


class Seen(HTMLParser):
    """What a browser would act on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.attributes: set[str] = set()
        self.inline: list[str] = []
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.attributes |= set(found)
        self.ids += [found["id"]] if "id" in found else []
        if tag == "a":
            self.links.append(found["href"])
        self.loads += [found[name] for name in ("src",) if name in found]
        self.loads += [found["href"]] if tag == "link" else []
        self._in = tag if tag in ("script", "style") else ""

    def handle_data(self, data: str) -> None:
        if self._in and data.strip():
            self.inline.append(data)


@pytest.mark.parametrize("name", list(all_pages()))
def test_a_page_leads_only_to_what_is_there(name: str) -> None:
    seen = Seen(page_html(name))
    assert len(seen.ids) == len(set(seen.ids))
    for link in seen.links:
        if not link.startswith(("http://", "https://")):
            page, _, anchor = link.partition("#")
            target = all_pages()[page or name]
            assert not anchor or anchor in {s.anchor for s in sections(target)}, link
    for path in seen.loads:
        assert asset(path) is not None, path


@pytest.mark.parametrize("name", list(all_pages()))
def test_a_page_needs_nothing_that_its_policy_forbids(name: str) -> None:
    seen = Seen(page_html(name))
    assert not seen.inline and "style" not in seen.attributes - {"style"}
    assert not {attribute for attribute in seen.attributes if attribute.startswith("on")}


@pytest.mark.parametrize("name", list(all_pages()))
def test_pages_hold_no_html_but_line_breaks(name: str) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", all_pages()[name].text(), flags=re.DOTALL)
    assert set(re.findall(r"<[a-z/!][^>]*>", text)) <= {"<br>"} | set(
        re.findall(r"<https?:[^>]*>", text)
    )


async def test_a_page_is_served_with_a_strict_policy() -> None:
    answer = await get("/docs/errors")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert b'<h1 id="errors">' in answer.body


async def test_the_bare_path_leads_to_the_index_behind_a_prefix_too() -> None:
    answer = await get("/docs")
    assert (answer.status, answer.headers["location"]) == (307, "docs/index")
    assert (await get("/docs/")).body == (await get("/docs/index")).body


@pytest.mark.parametrize(
    "path",
    [
        "/docs/nothing",
        "/docs/../settings.py",
        "/docs/..%2f..%2fpyproject.toml",
        "/docs/%2e%2e/errors.py",
        "/docs//etc/passwd",
        "/docs/plots/../errors.md",
        "/docs/plots/%00.svg",
        "/docs/errors.md",
        "/docs/pages.css/",
        "/docs/static/pages.css",
    ],
)
async def test_nothing_else_can_be_read(path: str) -> None:
    assert (await get(path)).status == 404


@pytest.mark.parametrize("path", ["pages.css", "pages.js", SEARCH_INDEX])
async def test_what_pages_load_is_served(path: str) -> None:
    answer = await get(f"/docs/{path}")
    assert answer.status == 200 and answer.body
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_search_index_knows_every_section() -> None:
    kind, content = cast(tuple[str, bytes], asset(SEARCH_INDEX))
    rows = json.loads(content.decode().removeprefix("const SECTIONS = ").rstrip(";\n"))
    assert [(row[0], row[2]) for row in rows] == [
        (page.name, section.anchor) for page in all_pages().values() for section in sections(page)
    ]


def test_the_style_sheet_and_script_load_nothing() -> None:
    for path in ("pages.css", "pages.js"):
        _, content = cast(tuple[str, bytes], asset(path))
        assert not re.search(rb"https?:|@import|url\(|fetch|eval|innerHTML", content)


def served(path: str, **server: object) -> tuple[int, str]:
    """Status and content of a path of a whole server, asked without a key."""
    with on_socket(load_settings(server={"port": 0, **server}), Stage()) as client:
        url = str(client.base_url).removesuffix("/v1/") + path
        try:
            with urllib.request.urlopen(url) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()


def test_pages_ask_for_no_key_where_everything_else_does() -> None:
    keys = {"api_keys": ["sk-secret"]}
    status, text = served("/docs", **keys)
    assert status == 200 and "<h1" in text and "sk-secret" not in text
    assert served("/v1/models", **keys)[0] == 401


def test_pages_can_be_turned_off() -> None:
    status, text = served("/docs/errors", docs=False)
    assert status == 404 and json.loads(text)["error"]["type"] == "invalid_request_error"
