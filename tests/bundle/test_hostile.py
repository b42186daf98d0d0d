"""Bundles made to harm whoever checks them: refused, in little time and memory, and in words that
do nothing to a terminal."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from localassist.bundle.files import MANIFEST, SIGNATURE, SUMS, to_sums
from localassist.bundle.install.main import install_from
from localassist.bundle.manifest import from_json
from localassist.bundle.tar import TarWriter, header, padding
from localassist.bundle.verify import verify
from localassist.errors import BundleError

FACTS = {"localassist": "1.0", "created_at": 1, "targets": [], "files": [], "format": 1}
ESCAPE = "\x1b]0;pwned\x07"


def sums(**contents: bytes) -> bytes:
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    return to_sums(hashes).encode()


def manifest_sums(manifest: bytes) -> bytes:
    return sums(**{MANIFEST: manifest})


def tar(path: Path, files: Sequence[tuple[str, bytes]]) -> Path:
    with path.open("wb") as out:
        writer = TarWriter(out, "localassist-1", 0)
        for number, (name, content) in enumerate(files):
            source = path.parent / f"{number}.part"
            source.write_bytes(content)
            writer.add(name, source, on_bytes=lambda _: None)
        writer.end()
    return path


def folder(path: Path, files: Sequence[tuple[str, bytes]]) -> Path:
    path.mkdir()
    for name, content in files:
        (path / name).write_bytes(content)
    return path


def test_one_without_a_manifest_is_refused(tmp_path: Path) -> None:
    listed = [(SUMS, sums(docs=b"x")), ("docs", b"x")]
    with pytest.raises(BundleError, match=r"manifest\.json"):
        verify(tar(tmp_path / "b.tar", listed))
    with pytest.raises(BundleError, match=r"manifest\.json"):
        verify(folder(tmp_path / "b", listed))


def test_a_second_signature_is_refused(tmp_path: Path) -> None:
    manifest = json.dumps(FACTS).encode()
    files = [(SUMS, manifest_sums(manifest)), (SIGNATURE, b"a"), (SIGNATURE, b"b")]
    with pytest.raises(BundleError, match="twice"):
        verify(tar(tmp_path / "b.tar", [*files, (MANIFEST, manifest)]))


@pytest.mark.parametrize("size_bytes", [-512, -1024, -(2**40)])
def test_a_size_below_nothing_leads_nowhere(tmp_path: Path, size_bytes: int) -> None:
    """Reading on where such a file ends would go round in a circle."""
    listed = manifest_sums(b"x")
    out = io.BytesIO()
    name = f"localassist-1/{SUMS}"
    out.write(header(name, len(listed), is_program=False, changed_at=0) + listed)
    out.write(b"\0" * padding(len(listed)))
    name = f"localassist-1/{SIGNATURE}"
    out.write(header(name, size_bytes, is_program=False, changed_at=0))
    out.write(b"\0" * 4096)
    (tmp_path / "b.tar").write_bytes(out.getvalue())
    with pytest.raises(BundleError):
        verify(tmp_path / "b.tar")


@pytest.mark.parametrize("name", [SUMS, SIGNATURE, MANIFEST])
def test_what_is_read_as_a_whole_is_small(tmp_path: Path, name: str) -> None:
    """A file of holes costs whoever sends it nothing."""
    endless = 2**40
    before = [] if name == SUMS else [(SUMS, manifest_sums(b"x"))]
    tar(tmp_path / "b.tar", before)
    at = (tmp_path / "b.tar").stat().st_size - 1024
    with (tmp_path / "b.tar").open("r+b") as file:
        file.seek(at)
        file.write(header(f"localassist-1/{name}", endless, is_program=False, changed_at=0))
        file.truncate(at + 512 + endless + 1024)
    with pytest.raises(BundleError, match="too large"):
        verify(tmp_path / "b.tar")
    manifest = json.dumps(FACTS).encode()
    files = [(SUMS, manifest_sums(manifest)), (MANIFEST, manifest), (SIGNATURE, b"x")]
    unpacked = folder(tmp_path / "b", files)
    os.truncate(unpacked / name, endless)
    with pytest.raises(BundleError, match="too large"):
        verify(unpacked)


@pytest.mark.parametrize(
    "change",
    [
        {"localassist": "../../../home/user/x"},
        {"localassist": ESCAPE},
        {"schema": "../../x"},
        {"models": [ESCAPE]},
        {"models": ["../x"]},
    ],
)
def test_names_of_folders_are_plain(change: dict[str, object]) -> None:
    from_json(json.dumps(FACTS))
    with pytest.raises(BundleError, match="changed"):
        from_json(json.dumps({**FACTS, **change}))


def test_requirements_are_a_file_of_the_bundle() -> None:
    target = {
        "platform": "linux_x86_64",
        "python": "3.11",
        "requirements": "/tmp/requirements.txt",
        "glibc": "2.28",
        "cpu": "x86-64-v3",
    }
    with pytest.raises(BundleError, match=r"requirements\.txt"):
        from_json(json.dumps({**FACTS, "targets": [target]}))


def test_a_name_does_nothing_to_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = json.dumps(FACTS).encode()
    files = [(SUMS, manifest_sums(manifest)), (MANIFEST, manifest), (f"a{ESCAPE}", b"x")]
    assert install_from(folder(tmp_path / "b", files), ["--prefix", str(tmp_path / "p")]) == 1
    said = capsys.readouterr().err
    assert "does not belong" in said and "\x1b" not in said and "\x07" not in said
