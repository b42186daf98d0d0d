"""Which pages there are, and finding something in them."""

from __future__ import annotations

import posixpath

import pytest

from localassist.pages import INDEX, all_pages, find, linked, plain, search, sections


def test_the_index_names_every_page_and_sets_the_order() -> None:
    pages = all_pages()
    assert next(iter(pages)) == INDEX
    unnamed = [page.name for page in pages.values() if not page.group]
    assert unnamed == [INDEX], "index.md has a line for every page"
    assert all(page.about and page.title for page in pages.values() if page.name != INDEX)
    groups = [page.group for page in pages.values()]
    assert sorted(set(groups), key=groups.index) == [
        g for i, g in enumerate(groups) if g not in groups[:i]
    ]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("errors", ["errors"]),
        ("Errors.md", ["errors"]),
        ("file-search", ["file_search"]),
        ("file search", ["file_search"]),
        ("sandbox", ["sandbox_security", "sandbox_providers"]),
        ("config", ["configuration"]),
        ("where time goes", ["tracing"]),
        ("compatability", ["compatibility"]),
        ("zzzz", []),
        ("../../etc/passwd", []),
        ("", []),
    ],
)
def test_pages_are_found_by_what_they_may_be_called(asked: str, found: list[str]) -> None:
    assert [page.name for page in find(asked)] == found


def test_links_lead_to_pages_wherever_these_lie() -> None:
    pages = all_pages()
    for target, name in (("errors.md", "errors"), ("../../models/README.md", "manifests")):
        assert linked(pages["index"], target) == pages[name]
    assert linked(pages["manifests"], "../localassist/docs/errors.md") == pages["errors"]
    assert linked(pages["index"], "../../benchmarks/README.md") is None


def test_headings_have_the_anchors_of_github_and_code_has_none() -> None:
    for page in all_pages().values():
        found = sections(page)
        assert found[0].level == 1 and len([s for s in found if s.level == 1]) == 1, page.name
        assert len({s.anchor for s in found}) == len(found), page.name
        lines = page.path.read_text(encoding="utf-8").splitlines()
        for section in found:
            assert plain(lines[section.line - 1].lstrip("#").strip()) == section.heading
    anchors = {section.anchor for section in sections(all_pages()["configuration"])}
    assert {"where-settings-come-from", "storage"} <= anchors


def test_comments_are_not_text_and_move_no_line() -> None:
    for page in all_pages().values():
        text, file = page.text(), page.path.read_text(encoding="utf-8")
        assert "<!--" not in text and text.count("\n") == file.count("\n")


def test_a_search_wants_every_word_and_prefers_headings() -> None:
    hits = search(["Provider", "own"])
    assert (hits[0].page.name, hits[0].section.heading) == (
        "sandbox_providers",
        "A provider of your own",
    )
    for hit in hits:
        body = " ".join((hit.page.name, hit.section.heading, *hit.section.lines)).lower()
        assert "provider" in body and "own" in body
        assert (
            hit.page.path.read_text(encoding="utf-8").splitlines()[hit.line - 1].strip() == hit.text
        )
    assert search(["nosuchwordanywhere"]) == [] and search([" "]) == []


def test_pages_lie_where_links_say() -> None:
    for page in all_pages().values():
        assert page.path.as_posix().endswith(posixpath.normpath(page.source))
