"""From a place to a model in the data folder: access, room, all files, checks, and the manifest.

What has come stays in ``models/files/.pull-…`` until the model is complete, and is taken up by the
next pull of the same model.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from localassist.disk import existing, free_bytes, size
from localassist.errors import ConfigError, DownloadFailed, ModelFileRejected, StorageUnavailable
from localassist.registry.catalog import Catalog
from localassist.registry.config import PUBLIC_HUB, ModelsSettings
from localassist.registry.describe import choose_id
from localassist.registry.manifest import ModelManifest
from localassist.registry.parts import part_names
from localassist.registry.pull.download import SPARE_BYTES, Download, Say
from localassist.registry.pull.listing import Listing, Offer, with_sum
from localassist.registry.pull.place import HubPlace, UrlPlace, check_hub, is_private
from localassist.registry.pull.web import Access, Web
from localassist.registry.weights import Progress, hash_weights

HUB_TOKEN = "HF_TOKEN"
_FOLDER = ".pull-"

CheckedBy = Literal["hub", "file", "option", "nobody"]
"""Whose sum the files were compared with: the hub's list, a ``.sha256`` file beside them, one that
the user gave, or none."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """What came of a pull. ``is_new`` False: it was here already."""

    manifest: ModelManifest
    checked_by: CheckedBy
    is_new: bool = True


def hub_of(settings: ModelsSettings, mirror: str | None) -> str:
    """The hub that repositories are looked for on. Raises ConfigError."""
    return check_hub(mirror or settings.hub_url)


def open_web(
    place: HubPlace | UrlPlace,
    hub_url: str,
    settings: ModelsSettings,
    token_env: str | None,
    environ: Mapping[str, str],
    say: Say,
) -> Web:
    """A way to the place. The hub's usual token is for the public hub alone; any other place gets
    one only if ``token_env`` names it. Raises ConfigError."""
    address = hub_url if isinstance(place, HubPlace) else place.url
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(address))
    name = token_env or (HUB_TOKEN if origin == PUBLIC_HUB else None)
    token = environ.get(name) or None if name else None
    if token_env and token is None:
        raise ConfigError(f"The environment variable {token_env} is not set.")
    if token and not is_private(address):
        raise ConfigError(
            f"The token in {name} would be sent to {origin} without encryption; use https://."
        )
    asked = name or "that --token-env names"
    return Web(Access(token, origin, asked, settings.ca_file, say=say))


class Pull:
    """One model on its way into the data folder."""

    def __init__(
        self,
        catalog: Catalog,
        web: Web,
        listing: Listing,
        offer: Offer,
        *,
        model_id: str | None,
        sha256: str | None,
        say: Say,
    ) -> None:
        """Raises ConfigError for a name that is taken, or a sum that is none or another's."""
        self._catalog = catalog
        self._origin = f"{listing.origin}/{offer.name}".replace("//", "/").replace(":/", "://", 1)
        self._fields = listing.fields
        self.model_id = choose_id(Path(offer.name.rpartition("/")[2]), model_id)
        self._offer, self._sum, self.checked_by = self._checked(web, offer, sha256)
        # The same for another edition of the model, so that what is held of an old one is found.
        place = self._origin.replace(listing.origin, listing.origin.partition("@")[0], 1)
        self._folder = catalog.files_folder / f"{_FOLDER}{_key(place)}"
        self._downloads = [
            Download(replace(file, name=_safe(file.name)), self._folder, web, say)
            for file in self._offer.files
        ]
        self.known = self._known()
        if self.known is None:
            catalog.check_free(self.model_id, self._downloads[0].target)

    @property
    def size_bytes(self) -> int | None:
        return self._offer.size_bytes

    @property
    def held_bytes(self) -> int:
        """How much of it is here."""
        return sum(download.held_bytes for download in self._downloads)

    @property
    def folder(self) -> Path:
        """Where that lies."""
        return self._folder

    def check_room(self) -> None:
        """StorageUnavailable where the rest would not fit on the disk."""
        if self.size_bytes is None:
            return
        missing, free = self.size_bytes - self.held_bytes, free_bytes(self._folder)
        if missing + SPARE_BYTES > free:
            raise StorageUnavailable(
                f"{self.model_id} needs {size(missing)} more, and {size(free)} are free in "
                f"{existing(self._folder)}. Make room, or choose another data folder with --home."
            )

    def run(self, progress: Progress) -> Pulled:
        """Fetch what is missing and make the model known.

        Raises DownloadFailed, ModelFileRejected and StorageUnavailable. Whatever interrupts it,
        what has come is kept.
        """
        if self.known is not None:
            return Pulled(self.known, self.checked_by, is_new=False)
        self.check_room()
        sums: list[str] = []
        done_bytes = 0
        for download in self._downloads:
            sums.append(download.fetch(partial(self._report, progress, done_bytes)))
            done_bytes += download.held_bytes
        first = self._downloads[0].target
        sha256 = sums[0] if len(sums) == 1 else hash_weights(first)
        if self._sum not in (None, sha256):
            self._discard()
            raise DownloadFailed(
                f"{self._origin} is not the promised model: expected SHA-256 {self._sum}, got "
                f"{sha256}. Nothing of it was kept."
            )
        try:
            manifest = self._catalog.add_pulled(
                first,
                model_id=self.model_id,
                sha256=sha256,
                fields={**self._fields, "origin": self._origin},
            )
        except ModelFileRejected:
            self._discard()
            raise
        self._discard()
        return Pulled(manifest, self.checked_by)

    def _report(self, progress: Progress, before_bytes: int, held_bytes: int) -> None:
        progress(before_bytes + held_bytes, self.size_bytes or 0)

    def _checked(
        self, web: Web, offer: Offer, sha256: str | None
    ) -> tuple[Offer, str | None, CheckedBy]:
        """The offer with all sums there are, the sum of the whole model, and whose they are."""
        has_sums = all(file.sha256 for file in offer.files)
        if sha256 is not None:
            sha256 = sha256.strip().lower()
            if not re.fullmatch(r"[0-9a-f]{64}", sha256):
                raise ConfigError("--sha256 needs the 64 hex digits of a SHA-256 checksum.")
            if len(offer.files) > 1:
                return offer, sha256, "option"
            theirs = offer.files[0].sha256
            if theirs not in (None, sha256):
                raise ConfigError(
                    f"The hub's sum of {offer.name} is {theirs}, which is not the one in --sha256."
                )
            return replace(offer, files=(replace(offer.files[0], sha256=sha256),)), sha256, "option"
        if has_sums:
            whole = offer.files[0].sha256 if len(offer.files) == 1 else None
            return offer, whole, "hub"
        offer, is_found = with_sum(web, offer)
        whole = offer.files[0].sha256 if len(offer.files) == 1 else None
        return offer, whole, "file" if is_found else "nobody"

    def _known(self) -> ModelManifest | None:
        """The model, if this very one has been pulled before and is still there."""
        known = {model.id: model for model in self._catalog.list()}.get(self.model_id)
        if known is None or self.checked_by == "nobody":
            return None
        if self._sum != known.sha256 if self._sum else self._origin != known.origin:
            return None
        try:
            self._catalog.locate(known)
        except ModelFileRejected:
            return None
        return known

    def _discard(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _safe(name: str) -> str:
    """A file's name for this disk; what makes it one of several parts stays."""
    last = re.sub(r"[^A-Za-z0-9._-]", "_", name.rpartition("/")[2])
    return (
        last if len(os.fsencode(last)) <= 200 else f"model-{_key(part_names(name)[0])}{last[-32:]}"
    )
