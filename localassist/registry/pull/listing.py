"""What there is to pull: the files of a hub's repository, a mirror's page, or one address."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from localassist.errors import ConfigError, DownloadFailed
from localassist.registry.given import is_projector
from localassist.registry.parts import model_name, part_names
from localassist.registry.pull.download import RemoteFile
from localassist.registry.pull.place import HubPlace, UrlPlace, file_name, plain, sibling, suffixed
from localassist.registry.pull.web import Web

_MOST_PAGES = 50
_MOST_FILES = 1000
_MOST_BYTES = 2**50
_SHA256 = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])")
_QUANTIZATION = re.compile(
    r"(?i)(?:^|[-._/])((?:(?:I|T)?Q|BF|F|MXFP)\d+(?:_(?:\d|[A-Z]+))*)(?=[-._/]|$)"
)


@dataclass(frozen=True, slots=True)
class Offer:
    """One model that can be pulled: a file, or all parts of one, in order."""

    name: str
    files: tuple[RemoteFile, ...]

    @property
    def size_bytes(self) -> int | None:
        sizes = [file.size_bytes for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def quantization(self) -> str:
        """By its name, for want of a better source; empty where that does not say."""
        found = _QUANTIZATION.findall(self.name)
        return found[-1].upper() if found else ""


@dataclass(frozen=True, slots=True)
class Listing:
    """``origin`` names the place for records, ``left_out`` the image projectors in it, and
    ``fields`` what the place says about all its models."""

    origin: str
    offers: tuple[Offer, ...]
    left_out: tuple[str, ...] = ()
    fields: dict[str, str] = field(default_factory=dict)

    def choose(self, file: str | None, quantization: str | None) -> Offer | None:
        """The one that is meant; None where several may be. ConfigError when there is none."""
        found = [
            offer
            for offer in self.offers
            if file in (None, offer.name, *(part.name for part in offer.files))
            or offer.name.rpartition("/")[2] == file
        ]
        if quantization is not None:
            wanted = quantization.upper()
            found = [offer for offer in found if offer.quantization == wanted]
        if not found:
            raise ConfigError(f"{self.origin} has no such model; there is {self._names()}.")
        return found[0] if len(found) == 1 else None

    def _names(self) -> str:
        if not self.offers:
            return "no GGUF file"
        names = [offer.name for offer in self.offers]
        more = f" and {len(names) - 12} more" if len(names) > 12 else ""
        return ", ".join(names[:12]) + more


def look(web: Web, place: HubPlace | UrlPlace, hub_url: str) -> Listing:
    """Ask what there is. Raises DownloadFailed and ConfigError."""
    if isinstance(place, HubPlace):
        return _look_at_hub(web, place, hub_url)
    if file_name(place.url).lower().endswith(".gguf"):
        return _look_at_file(web, place.url)
    return _look_at_page(web, place.url)


def with_sum(web: Web, offer: Offer) -> tuple[Offer, bool]:
    """The offer with sums from files such as ``model.gguf.sha256`` beside its files, where it has
    none yet; and whether one was found so."""
    if all(file.sha256 for file in offer.files):
        return offer, False
    files = tuple(replace(file, sha256=_sum_of(web, file)) for file in offer.files)
    return replace(offer, files=files), any(file.sha256 for file in files)


# --- a hub --------------------------------------------------------------------------------------


def _look_at_hub(web: Web, place: HubPlace, hub_url: str) -> Listing:
    """The interface of the Hugging Face Hub, which mirrors of it offer as well."""
    api = f"{hub_url}/api/models/{place.repo}"
    found = web.json(f"{api}/revision/{quote(place.revision, safe='')}")
    if found is None or not isinstance(found[0], dict):
        raise DownloadFailed(
            f"{hub_url} has no model {place.repo} in the edition {place.revision}; check its name."
        )
    facts = found[0]
    sha = facts.get("sha")
    commit = sha if isinstance(sha, str) else place.revision
    root = f"{hub_url}/{place.repo}/resolve/{quote(commit, safe='')}"
    files = [
        RemoteFile(f"{root}/{quote(path)}", path, size, sha256)
        for path, size, sha256 in _tree(web, f"{api}/tree/{quote(commit, safe='')}?recursive=true")
    ]
    listing = _listing(f"hf:{place.repo}@{commit[:12]}", files, _licence(facts))
    if place.file is not None:
        offer = listing.choose(place.file, None)
        listing = replace(listing, offers=() if offer is None else (offer,))
    return listing


def _tree(web: Web, url: str) -> Iterable[tuple[str, int | None, str | None]]:
    """Path, size and SHA-256 of the GGUF files; hubs give long lists in pages."""
    following: str | None = url
    for _ in range(_MOST_PAGES):
        if following is None:
            return
        found = web.json(following)
        if found is None or not isinstance(found[0], list):
            raise DownloadFailed(f"{plain(url)} sent no list of files; is it a hub?")
        for entry in found[0]:
            if isinstance(entry, dict) and str(entry.get("path", "")).lower().endswith(".gguf"):
                stored = entry.get("lfs")
                stored = stored if isinstance(stored, dict) else {}
                sha256 = str(stored.get("oid", "")).removeprefix("sha256:").lower()
                size = stored.get("size", entry.get("size"))
                yield (
                    str(entry["path"]),
                    size if type(size) is int and 0 <= size < _MOST_BYTES else None,
                    sha256 if _SHA256.fullmatch(sha256) else None,
                )
        following = _next_page(following, found[1].get("link", ""))


def _next_page(url: str, link: str) -> str | None:
    match = re.search(r'<([^>]+)>;\s*rel="?next"?', link)
    if match is None:
        return None
    return _joined(url, match[1])


def _joined(url: str, link: str) -> str | None:
    """Where a link leads, if that is a place of the same server."""
    try:
        following = urljoin(url, link)
        is_same = urlsplit(following)[:2] == urlsplit(url)[:2]
    except ValueError:  # no address at all
        return None
    return following if is_same else None


def _licence(facts: dict[str, Any]) -> dict[str, str]:
    card = facts.get("cardData")
    licence = card.get("license") if isinstance(card, dict) else None
    if licence == "other" and isinstance(card, dict):
        licence = card.get("license_name") or licence
    return {"licence": licence} if isinstance(licence, str) and licence else {}


# --- plain addresses ----------------------------------------------------------------------------


def _look_at_file(web: Web, url: str) -> Listing:
    names = part_names(file_name(url))
    urls = [url] if len(names) == 1 else [sibling(url, name) for name in names]
    files = [RemoteFile(one, name, web.size(one)) for one, name in zip(urls, names, strict=True)]
    return _listing(plain(url).rpartition("/")[0] + "/", files)


def _look_at_page(web: Web, url: str) -> Listing:
    """A page that links to files, as web servers make them for folders, or nginx's list in JSON."""
    found = web.text(url)
    if found is None:
        raise DownloadFailed(f"{plain(url)} does not exist (HTTP 404); check its spelling.")
    text, headers = found
    links = _json_links(text) if "json" in headers.get("content-type", "") else _links(text)
    urls = dict.fromkeys(filter(None, (_joined(url, link) for link in links)))
    models = [one for one in urls if file_name(one).lower().endswith(".gguf")]
    if len(models) > _MOST_FILES:
        raise DownloadFailed(
            f"{plain(url)} links to more than {_MOST_FILES:,} files; give the address of one."
        )
    files = [RemoteFile(one, file_name(one), web.size(one)) for one in models]
    if not files:
        raise DownloadFailed(
            f"{plain(url)} is neither a .gguf file nor a page that links to some; give the address "
            "of the file itself, or of the folder with a slash at its end."
        )
    return _listing(plain(url), files)


def _json_links(text: str) -> list[str]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not isinstance(entries, list):
        return []
    named = [entry for entry in entries if isinstance(entry, dict) and "name" in entry]
    return [quote(str(entry["name"])) for entry in named]


class _LinkReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links += [value for name, value in attrs if name == "href" and value]


def _links(text: str) -> list[str]:
    reader = _LinkReader()
    with contextlib.suppress(AssertionError):  # how some versions of Python end at bad marks
        reader.feed(text)
    return reader.links


def _sum_of(web: Web, file: RemoteFile) -> str | None:
    """What the file beside it says, in the forms of sha256sum, of BSD, or the sum alone."""
    found = web.text(suffixed(file.url, ".sha256"))
    if found is None or len(found[0]) > 65536:
        return None
    lines = [line for line in found[0].splitlines() if _SHA256.search(line)]
    own = [line for line in lines if file.name.rpartition("/")[2] in line] or lines
    sums = {_SHA256.search(line)[0].lower() for line in own}  # type: ignore[index]  # searched above
    return sums.pop() if len(sums) == 1 else None


# --- both ---------------------------------------------------------------------------------------


def _listing(
    origin: str, files: Sequence[RemoteFile], fields: dict[str, str] | None = None
) -> Listing:
    """Files as models: parts together, and without what is no model by itself."""
    by_name = {file.name: file for file in files}
    offers, left_out = [], []
    for name in by_name:
        if is_projector(name):
            left_out.append(name)
            continue
        names = part_names(name)
        if name != names[0] and names[0] in by_name:
            continue
        missing = [part for part in names if part not in by_name]
        if missing:
            continue  # half a model is none
        offers.append(Offer(_whole_name(name), tuple(by_name[part] for part in names)))
    offers.sort(key=lambda offer: (offer.size_bytes or 0, offer.name))
    return Listing(origin, tuple(offers), tuple(left_out), fields or {})


def _whole_name(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{model_name(last)}.gguf"
