"""Signatures of bundles, by ``ssh-keygen -Y``, which every server with OpenSSH has.

What is signed is the list of sums, so the whole bundle. Standard library only.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from localassist.bundle.files import SIGNATURE, SUMS
from localassist.errors import BundleError

NAMESPACE = "localassist-bundle"
_MISSING = "ssh-keygen, which makes and checks signatures, is not there; install OpenSSH's client."


def sign(sums: Path, key: Path) -> Path:
    """The signature of the list of sums, beside it. May ask for the key's passphrase."""
    signature = sums.with_name(SIGNATURE)
    signature.unlink(missing_ok=True)
    command = ["ssh-keygen", "-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(sums)]
    try:
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace")
    except FileNotFoundError as error:
        raise BundleError(_MISSING) from error
    if done.returncode or not signature.is_file():
        raise BundleError(f"{key} cannot sign: {_last_line(done.stderr)}")
    return signature


def signer_of(sums: bytes, signature: bytes, signers: Path) -> str:
    """Who has signed, as the file of allowed signers (see ``man ssh-keygen``) names them.
    BundleError where none of them has."""
    if not signers.is_file():
        raise BundleError(f"{signers} is not there; it should list who may sign bundles.")
    with tempfile.NamedTemporaryFile(suffix=".sig") as file:
        file.write(signature)
        file.flush()
        found = _run(["find-principals", "-s", file.name, "-f", str(signers)], b"")
        names = found.stdout.decode("utf-8", "replace").split("\n")
        if found.returncode or not names[0]:
            raise BundleError(f"The bundle is signed by nobody whom {signers} lists.")
        checked = _run(
            ["verify", "-f", str(signers), "-I", names[0], "-n", NAMESPACE, "-s", file.name], sums
        )
    if checked.returncode:
        raise BundleError(f"The signature of {names[0]} is not that of this bundle's {SUMS}.")
    return names[0]


def check_is_intact(sums: bytes, signature: bytes) -> None:
    """BundleError where the signature, whoever made it, is not over these sums. Where there is no
    ssh-keygen nothing is checked."""
    with tempfile.NamedTemporaryFile(suffix=".sig") as file:
        file.write(signature)
        file.flush()
        try:
            done = _run(["check-novalidate", "-n", NAMESPACE, "-s", file.name], sums)
        except BundleError:
            return
    if done.returncode:
        raise BundleError(f"{SIGNATURE} was changed: it is no signature of {SUMS}.")


def _run(arguments: list[str], stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["ssh-keygen", "-Y", *arguments], input=stdin, capture_output=True)
    except FileNotFoundError as error:
        raise BundleError(_MISSING) from error


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "ssh-keygen does not say why"
