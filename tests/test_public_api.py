"""What ``import localassist`` promises: names that exist, listed in order, resolved when used."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

import localassist

SOURCE = Path(localassist.__file__)
HOMES: dict[str, str] = vars(localassist)["_HOMES"]


def names_for_type_checkers() -> dict[str, str]:
    """What the type-checking block imports: name to module."""
    (block,) = (
        node for node in ast.parse(SOURCE.read_text("utf-8")).body if isinstance(node, ast.If)
    )
    return {
        alias.name: str(node.module)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_the_list_is_sorted_and_complete() -> None:
    assert localassist.__all__ == sorted(set(localassist.__all__))
    assert set(localassist.__all__) == {*HOMES, "__version__"}
    assert dir(localassist) == localassist.__all__


@pytest.mark.parametrize("name", localassist.__all__)
def test_every_name_exists(name: str) -> None:
    assert getattr(localassist, name) is not None


@pytest.mark.parametrize("name", sorted(HOMES))
def test_a_name_is_the_object_of_its_module(name: str) -> None:
    found = getattr(localassist, name)
    assert found is getattr(importlib.import_module(HOMES[name]), name)
    assert found.__module__ == HOMES[name]


def test_type_checkers_see_the_same_names() -> None:
    assert names_for_type_checkers() == HOMES


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        localassist.no_such_name  # noqa: B018


def test_the_version_is_the_packages() -> None:
    project = (SOURCE.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r'^version = "(.*)"$', project, re.M)[1] == localassist.__version__


def test_types_are_shipped() -> None:
    assert (SOURCE.parent / "py.typed").is_file()
