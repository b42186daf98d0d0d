"""Models from a hub and a mirror, which break off, lie and change."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localassist.errors import ConfigError, DownloadFailed, ModelFileRejected, StorageUnavailable
from localassist.registry import Catalog
from localassist.registry.pull.listing import look
from localassist.registry.pull.place import parse_place
from localassist.registry.pull.pulling import Pull, Pulled
from localassist.registry.pull.web import Access, Web
from tests.registry.gguf_files import gguf, split_gguf
from tests.registry.pull.hub_imitation import COMMIT, REPO, Behaviour, hub

MODEL = gguf(weights_bytes=3000)
NAME = "tiny-Q4_K_M.gguf"


class World:
    """A data folder, and a server that can be told how to behave."""

    def __init__(self, home: Path, server: Behaviour, url: str) -> None:
        self.catalog = Catalog(home)
        self.server = server
        self.url = url
        self.said: list[str] = []
        self.pauses: list[float] = []
        self.seen: list[tuple[int, int]] = []
        self.token: str | None = None

    def pull(
        self,
        place: str = REPO,
        *,
        name: str | None = None,
        file: str | None = None,
        quant: str | None = None,
        sha256: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Pulled:
        wanted = parse_place(place.replace("MIRROR", f"{self.url}/mirror"))
        with Web(Access(self.token, self.url, pause=self.pauses.append)) as web:
            listing = look(web, wanted, self.url)
            offer = listing.choose(file, quant)
            assert offer is not None
            pull = Pull(
                self.catalog,
                web,
                listing,
                offer,
                model_id=name,
                sha256=sha256,
                say=self.said.append,
            )
            return pull.run(progress or (lambda *seen: self.seen.append(seen)))

    @property
    def left(self) -> list[str]:
        """What unfinished pulls have left."""
        folder = self.catalog.files_folder
        return sorted(path.name for path in folder.glob(".pull-*/*"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    server = Behaviour(files={NAME: MODEL})
    with hub(server) as url:
        yield World(tmp_path / "home", server, url)


def test_a_model_comes_from_a_hub_with_sum_licence_and_origin(world: World) -> None:
    pulled = world.pull(f"hf:{REPO}/{NAME}")
    model = pulled.manifest
    assert (model.id, model.licence, pulled.checked_by) == ("tiny-q4_k_m", "mit", "hub")
    assert model.origin == f"hf:{REPO}@{COMMIT[:12]}/{NAME}"
    assert world.catalog.locate(model).read_bytes() == MODEL
    assert world.seen[-1] == (len(MODEL), len(MODEL))
    assert world.left == []


def test_the_same_model_is_not_fetched_twice(world: World) -> None:
    assert world.pull().is_new
    assert not world.pull().is_new
    assert len(world.server.ranges) == 1


def test_a_connection_that_breaks_is_taken_up_where_it_broke(world: World) -> None:
    world.server.cut_after = [1000, 500]
    assert world.pull().manifest.size_bytes == len(MODEL)
    assert world.server.ranges == [None, "bytes=1000-", "bytes=1500-"]


def test_a_pull_that_was_stopped_goes_on(world: World) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    world.server.cut_after = [1000]
    with pytest.raises(KeyboardInterrupt):
        world.pull(progress=stop)
    assert f"{NAME}.part" in world.left
    assert "tiny-q4_k_m" not in [model.id for model in world.catalog.list()]
    world.pull()
    assert world.server.ranges == [None, "bytes=1000-"]
    assert world.left == []


def test_a_server_that_keeps_breaking_off_is_given_up_and_what_came_is_kept(world: World) -> None:
    world.server.cut_after = [1000, *[0] * 10]
    with pytest.raises(DownloadFailed, match="broke"):
        world.pull()
    assert world.pauses == [1, 2, 4, 8, 16]
    assert f"{NAME}.part" in world.left
    world.server.cut_after = []
    world.pull()


def test_a_busy_server_is_asked_again_when_it_says(world: World) -> None:
    world.server.busy = [503, 429]
    world.pull()
    assert world.pauses == [7, 7]


def test_a_wrong_file_is_not_kept(world: World) -> None:
    world.server.sums = {NAME: "0" * 64}
    with pytest.raises(DownloadFailed, match="expected SHA-256 0000.*got") as caught:
        world.pull()
    assert hashlib.sha256(MODEL).hexdigest() in caught.value.message
    assert world.left == []


def test_damage_in_what_was_kept_is_noticed_and_mended(world: World) -> None:
    world.server.cut_after = [1000, *[0] * 10]
    with pytest.raises(DownloadFailed):
        world.pull()
    (part,) = world.catalog.files_folder.glob(".pull-*/*.part")
    part.write_bytes(b"GGUF" + bytes(996))
    world.server.cut_after = []
    world.pull()
    assert world.said == [
        f"{NAME}: what was kept of it is damaged; it is fetched from its beginning."
    ]


@pytest.mark.parametrize("has_sum", [True, False])
def test_a_file_that_changes_between_tries_is_fetched_anew(world: World, has_sum: bool) -> None:
    world.server.sums = {} if has_sum else {NAME: ""}
    world.server.cut_after = [1000, *[0] * 10]
    with pytest.raises(DownloadFailed):
        world.pull()
    changed = gguf(weights_bytes=3000, general__name="Other")
    world.server.cut_after = []
    world.server.files = {NAME: changed}
    assert world.catalog.locate(world.pull().manifest).read_bytes() == changed


def test_a_mirror_without_ranges_starts_over(world: World) -> None:
    world.server.knows_ranges = False
    world.server.cut_after = [1000]
    world.pull(f"MIRROR/{NAME}")
    assert world.server.ranges == [None, "bytes=1000-"]
    assert "sends no parts" in world.said[0]


@pytest.mark.parametrize("etag", ['W/"weak"', '"same"'])
def test_without_a_sum_only_a_strong_tag_lets_a_download_go_on(world: World, etag: str) -> None:
    world.server.etag = etag
    world.server.cut_after = [1000]
    pulled = world.pull(f"MIRROR/{NAME}")
    assert world.server.ranges == [None, "bytes=1000-" if etag == '"same"' else None]
    assert pulled.checked_by == "nobody"
    assert pulled.manifest.sha256 == hashlib.sha256(MODEL).hexdigest()


def test_a_sum_beside_the_file_is_believed(world: World) -> None:
    world.server.sums = {NAME: hashlib.sha256(MODEL).hexdigest().upper()}
    assert world.pull(f"MIRROR/{NAME}").checked_by == "file"
    world.server.sums = {NAME: "a" * 64}
    with pytest.raises(DownloadFailed, match="expected SHA-256 aaaa"):
        world.pull(f"MIRROR/{NAME}", name="again")


def test_a_sum_of_the_users_is_held_to(world: World) -> None:
    right = hashlib.sha256(MODEL).hexdigest()
    with pytest.raises(ConfigError, match="hub's sum"):
        world.pull(sha256="b" * 64)
    with pytest.raises(ConfigError, match="64 hex digits"):
        world.pull(sha256="b")
    with pytest.raises(DownloadFailed, match="expected SHA-256 bbbb"):
        world.pull(f"MIRROR/{NAME}", sha256="b" * 64)
    assert world.pull(f"MIRROR/{NAME}", sha256=right).checked_by == "option"


def test_a_web_page_is_no_model(world: World) -> None:
    world.server.page = b"<html>Please sign in</html>"
    with pytest.raises(DownloadFailed, match="web page"):
        world.pull(f"MIRROR/{NAME}")
    world.server.page, world.server.files = None, {NAME: b"PK\3\4" + bytes(100)}
    with pytest.raises(DownloadFailed, match="not a GGUF file"):
        world.pull(f"MIRROR/{NAME}")
    assert world.left == []


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("acme/absent", "has no model acme/absent"),
        ("MIRROR/absent.gguf", r"does not exist \(HTTP 404\)"),
        ("MIRROR/absent/", r"does not exist \(HTTP 404\)"),
        (f"hf:{REPO}/absent.gguf", "there is tiny-Q4_K_M.gguf"),
    ],
)
def test_what_is_not_there_is_said(world: World, place: str, said: str) -> None:
    with pytest.raises((ConfigError, DownloadFailed), match=said):
        world.pull(place)


def test_a_redirect_is_followed_and_the_token_goes_no_further(world: World) -> None:
    world.server.redirects = True
    world.server.token = "secret"
    world.token = "secret"
    world.pull()
    other = Behaviour(files={NAME: MODEL})
    with hub(other) as elsewhere:
        world.pull(f"{elsewhere}/mirror/{NAME}", name="other")
    assert not [headers for _, _, headers in other.log if "authorization" in headers]


def test_a_refusal_names_the_variable_and_not_the_token(world: World) -> None:
    world.server.token = "right"
    with pytest.raises(DownloadFailed, match="environment variable HF_TOKEN"):
        world.pull()
    world.token = "wrong-and-secret"
    with pytest.raises(DownloadFailed, match="token in HF_TOKEN does not open") as caught:
        world.pull()
    assert "wrong-and-secret" not in caught.value.message


def test_a_page_of_links_and_a_long_list_offer_their_models(world: World) -> None:
    others = {"mmproj-tiny.gguf": MODEL, "tiny-Q8_0.gguf": MODEL, "half-00001-of-00002.gguf": MODEL}
    world.server.files |= others
    world.server.page_size = 1
    for place in (REPO, "MIRROR/"):
        with Web(Access()) as web:
            wanted = parse_place(place.replace("MIRROR", f"{world.url}/mirror"))
            listing = look(web, wanted, world.url)
        assert [offer.name for offer in listing.offers] == [NAME, "tiny-Q8_0.gguf"]
        assert listing.left_out == ("mmproj-tiny.gguf",)
    assert world.pull(quant="q8_0").manifest.id == "tiny-q8_0"


def test_the_parts_of_a_split_model_come_as_one(world: World) -> None:
    parts = split_gguf("deep/big-Q8_0", 3)
    world.server.files = dict(parts)
    second = list(parts.values())[1]
    world.server.cut_after = [len(next(iter(parts.values()))), len(second) - 5, *[0] * 10]
    with pytest.raises(DownloadFailed):
        world.pull()
    world.server.cut_after = []
    model = world.pull().manifest
    assert (model.id, model.size_bytes) == ("big-q8_0", sum(map(len, parts.values())))
    assert model.sha256 == hashlib.sha256(b"".join(parts.values())).hexdigest()
    assert world.catalog.locate(model).name == "big-q8_0-00001-of-00003.gguf"
    assert world.server.ranges.count(f"bytes={len(second) - 5}-") > 1
    assert world.left == []
    world.catalog.remove("big-q8_0")
    assert list(world.catalog.files_folder.glob("*.gguf")) == []


def test_what_would_not_fit_is_not_begun(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil._ntuple_diskusage(100, 99, 1)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageUnavailable, match="Make room"):
        world.pull()
    assert world.server.ranges == []


def test_a_full_disk_keeps_what_came(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from localassist.registry.pull import download

    def full(self: object, chunk: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(download._Held, "add", full)
        with pytest.raises(StorageUnavailable, match="disk is full"):
            world.pull()
    world.pull()


def test_a_model_that_cannot_chat_is_not_added(world: World) -> None:
    world.server.files = {NAME: gguf(general__type="adapter")}
    with pytest.raises(ModelFileRejected, match="LoRA adapter"):
        world.pull()
    assert world.left == []


def test_a_taken_name_is_refused_before_anything_is_fetched(world: World) -> None:
    with pytest.raises(ConfigError, match="--name"):
        world.pull(name="smollm2-135m-instruct")
    assert world.server.ranges == []
