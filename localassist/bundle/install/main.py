"""Installs localassist from an unpacked bundle, without a network.

Everything is checked first. A new version is put together in a folder of its own, and takes the
place of the one in use in one step, last of all. What is interrupted leaves the version in use as
it was; calling it again starts over. Standard library only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from localassist.bundle.files import KERNEL, MODELS, spelled
from localassist.bundle.install.data import DATABASE, copy_before, default_home, schema_of
from localassist.bundle.install.prefix import (
    Prefix,
    has_kernel,
    is_complete,
    remove_version,
    write_stamp,
)
from localassist.bundle.install.programs import (
    install_packages,
    make_environment,
    run_localassist,
    run_module,
    try_out,
    works,
)
from localassist.bundle.machine import fitting_target, this_machine
from localassist.bundle.manifest import TargetFacts
from localassist.bundle.verify import Verified, verify
from localassist.disk import free_bytes, is_full, size
from localassist.errors import BundleError

_SPARE_BYTES = 200_000_000
_FAILURE = 1
_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be installed where. ``home`` is None where localassist's own default is meant;
    ``is_any_signer`` installs a signed bundle without asking by whom."""

    bundle: Path
    prefix: Prefix
    home: Path | None
    signers: Path | None
    with_kernel: bool
    is_any_signer: bool


def install_from(bundle: Path, arguments: list[str]) -> int:
    """The command line of ``install.sh``; its exit code."""
    options = _parser().parse_args(arguments)
    prefix = Prefix(Path(options.prefix or _default_prefix()).expanduser().absolute())
    home = Path(options.home).expanduser().absolute() if options.home else prefix.data_folder()
    signers = Path(options.signers) if options.signers else None
    os.umask(0o022)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with_kernel = not options.no_kernel
        _install(Wanted(bundle, prefix, home, signers, with_kernel, options.unsigned))
    except BundleError as error:
        return _refuse(error.message, _FAILURE)
    except OSError as error:
        where = error.filename or prefix.folder
        if is_full(error):
            return _refuse(f"The disk is full ({where}). What was in use still is.", _FAILURE)
        return _refuse(f"{where}: {error.strerror}. What was in use still is.", _FAILURE)
    except KeyboardInterrupt:
        return _refuse("Interrupted. What was in use still is; call it again.", _INTERRUPTED)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="install.sh", description="Install localassist from this folder, without a network."
    )
    parser.add_argument(
        "--prefix", metavar="DIR", help=f"where to install (default: {_default_prefix()})"
    )
    parser.add_argument("--home", metavar="DATA", help="the data folder, if not the default one")
    signed = parser.add_mutually_exclusive_group()
    signed.add_argument(
        "--signers", metavar="FILE", help="require the signature of somebody this file lists"
    )
    signed.add_argument(
        "--unsigned", action="store_true", help="take a signed bundle as if it were not signed"
    )
    parser.add_argument(
        "--no-kernel", action="store_true", help="leave out the code interpreter's packages"
    )
    parser.add_argument("--python", metavar="PATH", help="the Python to use (3.10 or newer)")
    return parser


def _default_prefix() -> str:
    return "/opt/localassist" if os.geteuid() == 0 else "~/.local/share/localassist-app"


def _install(wanted: Wanted) -> None:
    started = time.monotonic()
    _say(f"checking {wanted.bundle}")
    verified = verify(wanted.bundle, signers=wanted.signers, progress=_progress())
    _say_verified(verified, time.monotonic() - started)
    if verified.is_signed and wanted.signers is None and not wanted.is_any_signer:
        raise BundleError(
            "The bundle is signed: say whose signature you accept with --signers FILE (see "
            "docs/air_gapped.md), or --unsigned to install it without asking."
        )
    target = fitting_target(verified.manifest, this_machine())
    prefix = wanted.prefix
    with prefix.locked():
        for unfinished in prefix.unfinished():
            _say(f"removing {unfinished.name}, which an interrupted installation left")
            shutil.rmtree(unfinished)
        before = prefix.in_use()
        name = f"{verified.manifest.localassist}-{verified.id}-py{target.python}"
        version = prefix.versions / name
        if is_complete(version) and works(version):
            _say(f"{version.name} is installed already")
            if wanted.with_kernel and target.has_kernel and not has_kernel(version):
                _build_kernel(wanted, version)
        else:
            _check_space(wanted, target)
            _build(wanted, verified, target, version)
        _prepare_data(wanted, verified, version)
        prefix.write_program(wanted.home)
        prefix.switch_to(version)
        kept = before if before != version else None
        prefix.remove_all_but(version, kept)
    _say_done(prefix, version, kept, time.monotonic() - started)
    _doctor(wanted, version)


def _check_space(wanted: Wanted, target: TargetFacts) -> None:
    needed = target.installed_bytes + _SPARE_BYTES
    needed += target.kernel_bytes if wanted.with_kernel else 0
    free = free_bytes(wanted.prefix.versions)
    if free < needed:
        raise BundleError(
            f"{wanted.prefix.folder} needs {size(needed)}, and {size(free)} are free. "
            "Choose another place with --prefix, or leave out the code interpreter (--no-kernel)."
        )


def _build(wanted: Wanted, verified: Verified, target: TargetFacts, version: Path) -> None:
    """The version, complete, or no trace of it."""
    try:
        if version.exists():  # complete, but its Python is gone
            remove_version(version)
        _say(f"installing the packages ({size(target.installed_bytes)}) into {version}")
        make_environment(version)
        install_packages(version, wanted.bundle, target)
        try_out(version)
        if wanted.with_kernel and target.has_kernel:
            _build_kernel(wanted, version)
        write_stamp(version, localassist=verified.manifest.localassist, python=target.python)
    except BaseException:
        shutil.rmtree(version, ignore_errors=True)
        raise


def _build_kernel(wanted: Wanted, version: Path) -> None:
    """Everything but the code interpreter works without: a failure is said, and goes no further."""
    arguments = ["sandbox", "build", "--from", str(wanted.bundle / KERNEL)]
    if run_localassist(version, arguments, wanted.home):
        _say("the code interpreter's packages were not installed; everything else works")
        _say(f"try again later: localassist {' '.join(arguments)}")


def _prepare_data(wanted: Wanted, verified: Verified, version: Path) -> None:
    """Models into the data folder, and a copy of a database that the new version will change."""
    home = wanted.home or default_home(dict(os.environ))
    database, schema = home / DATABASE, schema_of(home / DATABASE)
    if schema is not None and schema != verified.manifest.schema:
        free, needed = free_bytes(home), database.stat().st_size
        if free < needed + _SPARE_BYTES:
            raise BundleError(
                f"The upgrade copies {database} first ({size(needed)}), and {home} has "
                f"{size(free)} free."
            )
        name = f"{schema}-before-{verified.manifest.localassist}-{verified.id}.db"
        copy_before(database, home / "backups" / name)
        _say(f"the database will be brought up to date at the first start; {home}/backups/{name}")
        _say("is as it was before")
    if verified.manifest.models:
        _say(f"copying models into {home}: {', '.join(verified.manifest.models)}")
        module = "localassist.bundle.placing"
        run_module(version, module, [str(wanted.bundle / MODELS), str(home)], wanted.home)


def _doctor(wanted: Wanted, version: Path) -> None:
    print(flush=True)
    if run_localassist(version, ["doctor"], wanted.home):
        _say("installed; the doctor found what needs your attention (above)")


def _say_verified(verified: Verified, seconds: float) -> None:
    packed = size(sum(file.size_bytes for file in verified.manifest.files))
    signed = f", signed by {verified.signer}" if verified.signer else ""
    _say(f"the bundle is as it was made: {packed} in {seconds:.1f} s{signed}")


def _say_done(prefix: Prefix, version: Path, kept: Path | None, seconds: float) -> None:
    _say(f"{version.name} is in use after {seconds:.0f} s")
    _say(f"start it: {prefix.program}")
    folders = os.environ.get("PATH", "").split(os.pathsep)
    if str(prefix.program.parent) not in folders:
        _say(f'by name: export PATH="{prefix.program.parent}:$PATH"')
    if kept is not None:
        _say("servers that run go on with the earlier version until they are started again")
        _say(f"going back: ln -sfn versions/{kept.name} {prefix.current}")


def _progress() -> _Progress:
    return _Progress(is_shown=sys.stdout.isatty())


class _Progress:
    """Per cent done, for a person only."""

    def __init__(self, *, is_shown: bool) -> None:
        self._is_shown = is_shown
        self._last = -1

    def __call__(self, done: int, total: int) -> None:
        percent = 100 * done // total if total else 100
        if self._is_shown and percent != self._last:
            print(f"\r  {percent} %" if percent < 100 else "\r       \r", end="", flush=True)
            self._last = percent


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(f"install.sh: {spelled(text)}", flush=True)


def _refuse(message: str, code: int) -> int:
    print(f"install.sh: {spelled(message)}", file=sys.stderr, flush=True)
    return code
