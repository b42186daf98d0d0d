from __future__ import annotations

from alembic.script import ScriptDirectory

from localassist.storage.revisions import (
    MIGRATIONS,
    is_known_revision,
    known_revisions,
    newest_revision,
)


def test_the_names_of_the_files_are_the_revisions() -> None:
    script = ScriptDirectory(str(MIGRATIONS))
    walked = [one.revision for one in script.walk_revisions()]
    assert known_revisions() == walked[::-1]
    assert newest_revision() == script.get_current_head()


def test_what_is_known() -> None:
    assert is_known_revision(None) and is_known_revision("0001")
    assert not is_known_revision("9999") and not is_known_revision("")
