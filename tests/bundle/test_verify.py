"""Nothing of a bundle can be changed, left out or added without being noticed."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from localassist.bundle.files import MANIFEST, SIGNATURE, SUMS
from localassist.bundle.tar import BLOCK, TarReader
from localassist.bundle.verify import verify
from localassist.errors import BundleError
from tests.bundle.tiny import Tiny, unpack


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(bundle, tmp_path / "copy.tar"))


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def entries(bundle: Path) -> dict[str, tuple[int, int]]:
    """Where the content of each file lies."""
    with bundle.open("rb") as file:
        reader = TarReader(file, bundle.name)
        return {
            entry.path: (entry.offset, entry.size_bytes)
            for entry in reader.entries(lambda position: None)
        }


def test_a_bundle_is_as_it_was_made(bundle: Path, unpacked: Path) -> None:
    seen: list[tuple[int, int]] = []
    verified = verify(bundle, progress=lambda done, total: seen.append((done, total)))
    assert verified.id == verify(unpacked).id
    assert not verified.is_signed and verified.signer is None
    assert seen == sorted(seen) and seen[-1][0] <= bundle.stat().st_size == seen[-1][1]
    (target,) = verified.manifest.targets
    assert target.platform == "linux_x86_64" and target.has_kernel and target.cpu == "x86-64-v3"
    assert {"avx2", "fma", "bmi2"} <= set(target.cpu_flags)
    licences = {licence.name: licence.licence for licence in verified.manifest.licences}
    assert licences["tiny"] == "MIT" and "pip" in licences


def test_other_programs_can_check_and_unpack_it(bundle: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "xf", bundle, "-C", tmp_path], check=True)
    (top,) = tmp_path.iterdir()
    assert re.fullmatch(r"localassist-\d+\.\d+\.\d+-linux_x86_64", top.name)
    subprocess.run(["sha256sum", "--quiet", "-c", SUMS], cwd=top, check=True)
    assert os.access(top / "install.sh", os.X_OK)


def test_a_changed_byte_is_noticed_wherever_it_lies(bundle: Path, copy: Path) -> None:
    chance = random.Random(8)
    places = entries(bundle).values()
    offsets = {chance.randrange(bundle.stat().st_size) for _ in range(120)}
    offsets |= {start - 512 + chance.randrange(512) for start, _ in places}
    offsets |= {start + size for start, size in places if size % 512}
    offsets |= {bundle.stat().st_size - 1, 0, 100, 148, 155, 257}
    for offset in sorted(offsets):
        flip(copy, offset)
        with pytest.raises(BundleError):
            verify(copy)
        flip(copy, offset)
    verify(copy)


def test_the_changed_file_is_named(bundle: Path, copy: Path) -> None:
    for path, (start, size) in entries(bundle).items():
        flip(copy, start + size // 2)
        with pytest.raises(BundleError) as caught:
            verify(copy)
        assert path in caught.value.message, path
        flip(copy, start + size // 2)
        flip(copy, start - 512 + 10)  # its name in the header before it
        with pytest.raises(BundleError) as caught:
            verify(copy)
        assert path in caught.value.message or "is not a bundle" in caught.value.message
        flip(copy, start - 512 + 10)


def test_one_that_was_cut_short_says_so(bundle: Path, copy: Path) -> None:
    chance = random.Random(8)
    size = bundle.stat().st_size
    for left in sorted({chance.randrange(600, size) for _ in range(60)} | {size - 1, size - 1024}):
        shutil.copy(bundle, copy)
        os.truncate(copy, left)
        with pytest.raises(BundleError, match="cut short"):
            verify(copy)


def test_bytes_behind_the_end_are_noticed(copy: Path) -> None:
    with copy.open("ab") as file:
        file.write(b"more")
    with pytest.raises(BundleError, match="its end"):
        verify(copy)


def test_a_changed_byte_of_the_end_is_not_taken_for_a_file(copy: Path) -> None:
    flip(copy, copy.stat().st_size - 2 * BLOCK)
    with pytest.raises(BundleError, match="behind its last file is what no bundle has"):
        verify(copy)


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"\0" * 10_240, b"text\n" * 1000])
def test_what_is_no_bundle_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "no.tar"
    path.write_bytes(content)
    with pytest.raises(BundleError, match="not a bundle"):
        verify(path)
    with pytest.raises(BundleError, match="not a bundle"):
        verify(tmp_path)


def test_one_packed_anew_by_another_program_is_checked_as_a_folder(
    unpacked: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.tar"
    names = [SUMS, MANIFEST]
    subprocess.run(
        ["tar", "cf", other, *(f"{unpacked.name}/{name}" for name in names)],
        cwd=unpacked.parent,
        check=True,
    )
    with pytest.raises(BundleError, match="as a folder"):
        verify(other)


@pytest.mark.parametrize(
    "name", ["wheels/tiny-1.0-py3-none-any.whl", "docs/errors.md", "install.sh"]
)
def test_a_folder_with_a_changed_file_names_it(folder: Path, name: str) -> None:
    flip(folder / name, 40)
    with pytest.raises(BundleError, match=re.escape(f"{name} was changed")):
        verify(folder)


def test_a_folder_with_missing_files_names_them(folder: Path) -> None:
    for name in ("wheels/tiny-1.0-py3-none-any.whl", "docs/errors.md"):
        (folder / name).unlink()
    with pytest.raises(BundleError, match=r"errors\.md, wheels/tiny.*are missing"):
        verify(folder)
    (folder / SUMS).unlink()
    with pytest.raises(BundleError, match="SHA256SUMS is missing"):
        verify(folder)


def test_a_folder_with_something_besides_names_it(folder: Path) -> None:
    (folder / "wheels" / "evil-1.0-py3-none-any.whl").touch()
    with pytest.raises(BundleError, match="evil.*does not belong"):
        verify(folder)


def test_a_link_is_no_file_of_a_bundle(folder: Path, tmp_path: Path) -> None:
    page = folder / "docs" / "errors.md"
    page.rename(tmp_path / "errors.md")
    page.symlink_to(tmp_path / "errors.md")
    with pytest.raises(BundleError, match="errors.md was changed"):
        verify(folder)


def test_changed_sums_are_told_from_changed_files(folder: Path) -> None:
    sums = folder / SUMS
    text = sums.read_text()
    line = next(line for line in text.splitlines() if line.endswith("docs/errors.md"))
    sums.write_text(text.replace(line, "0" * 64 + line[64:]))
    with pytest.raises(BundleError, match=r"SHA256SUMS was changed.*docs/errors\.md"):
        verify(folder)
    sums.write_text(text.replace("docs/errors.md", "../errors.md"))
    with pytest.raises(BundleError, match=r"SHA256SUMS was changed: its line"):
        verify(folder)


def key_pair(folder: Path, name: str) -> tuple[Path, str]:
    key = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    return key, key.with_suffix(".pub").read_text()


def test_signatures(tiny: Tiny, tmp_path: Path) -> None:
    key, public = key_pair(tmp_path, "ours")
    _, foreign = key_pair(tmp_path, "theirs")
    signers, others = tmp_path / "signers", tmp_path / "others"
    signers.write_text(f"ops@example.org {public}")
    others.write_text(f"who@example.org {foreign}")
    bundle = tmp_path / "signed.tar"
    tiny.create(bundle, key=key, with_kernel=False)
    assert verify(bundle).is_signed
    assert verify(bundle, signers=signers).signer == "ops@example.org"
    with pytest.raises(BundleError, match="signed by nobody"):
        verify(bundle, signers=others)
    with pytest.raises(BundleError, match="not there"):
        verify(bundle, signers=tmp_path / "none")
    start, size = entries(bundle)["SHA256SUMS.sig"]
    flip(bundle, start + size // 2)
    with pytest.raises(BundleError, match=r"SHA256SUMS\.sig was changed"):
        verify(bundle)


def test_a_signature_that_was_removed_is_missed(tiny: Tiny, tmp_path: Path) -> None:
    key, _ = key_pair(tmp_path, "ours")
    tiny.create(tmp_path / "signed.tar", key=key, with_kernel=False)
    folder = unpack(tmp_path / "signed.tar", tmp_path / "signed")
    (folder / SIGNATURE).unlink()
    with pytest.raises(BundleError, match=r"was signed, and its SHA256SUMS\.sig is missing"):
        verify(folder)


def test_one_that_is_not_signed_has_no_signer(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not signed"):
        verify(bundle, signers=tmp_path / "signers")
