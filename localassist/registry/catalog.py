"""The models this installation has, and which of them a name means.

Shipped manifests come with localassist; users' lie in ``<home>/models`` and win over shipped ones
of the same id. ``locate``, ``add`` and ``remove`` block on disk. Knows nothing of loading or
running a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from localassist.errors import ConfigError, InvalidRequest, ModelNotFound
from localassist.registry.config import ModelsSettings, ToolMode
from localassist.registry.describe import choose_id, describe, describe_embedder
from localassist.registry.folder import ModelsFolder
from localassist.registry.given import find_given, read_chat_model, read_json
from localassist.registry.manifest import (
    FileSource,
    Kind,
    ModelManifest,
    read_manifest,
)
from localassist.registry.parts import like, part_paths
from localassist.registry.weights import (
    Progress,
    Verifier,
    copy_weights,
    find_weights,
    hash_weights,
    move_file,
    stamp_of,
)

RECOMMENDED = "recommended.toml"
"""The one file beside the shipped manifests that is none."""

_KEPT = ("aliases", "chat_template", "quoting", "sampling", "system_prompt")
"""What a user sets and no file says, so that a renewed manifest keeps it."""

_EMBEDDER_CONFIGS = ("config.json", "sentence_bert_config.json", "1_Pooling/config.json")
_EMBEDDED: dict[Kind, str] = {"chat": "smollm2-135m-instruct", "embedding": "all-minilm-l6-v2"}


def shipped_models_folder() -> Path:
    """Where the manifests are that come with localassist: in the package when it was installed from
    a wheel, beside it in a source checkout."""
    package = Path(__file__).resolve().parents[1]
    in_wheel = package / "_shipped" / "models"
    return in_wheel if in_wheel.is_dir() else package.parent / "models"


class Catalog:
    """Every known model. ``home`` is the data folder, ``shipped`` a folder of manifests."""

    def __init__(
        self, home: Path, settings: ModelsSettings | None = None, shipped: Path | None = None
    ) -> None:
        self._settings = settings if settings is not None else ModelsSettings()
        self._folder = ModelsFolder(home / "models")
        self._verifier = Verifier(self._folder.path / "verified.json")
        shipped = shipped if shipped is not None else shipped_models_folder()
        files = [path for path in sorted(shipped.glob("*.toml")) if path.name != RECOMMENDED]
        manifests = [read_manifest(path) for path in files]
        self._shipped = {manifest.id: manifest for manifest in manifests}

    def list(self) -> tuple[ModelManifest, ...]:
        """All models, ordered by id."""
        return tuple(manifest for _, manifest in sorted(self._models().items()))

    def get(self, model_id: str) -> ModelManifest:
        """The model with exactly this id; ModelNotFound without one."""
        try:
            return self._models()[model_id]
        except KeyError:
            raise self._not_found(model_id) from None

    def find(self, name: str) -> ModelManifest | None:
        """The model that ``name`` means, of either kind. An id wins over an exact alias, that over
        a pattern, and that over the names of hosted models."""
        models = self._models()
        if name in models:
            return models[name]
        target = self._alias_target(name, models)
        if target is None:
            return None
        if target not in models:
            raise ConfigError(f"models.aliases: `{name}` means `{target}`, which is not a model.")
        return models[target]

    def resolve(self, name: str, kind: Kind) -> ModelManifest:
        """The model of this kind that ``name`` means.

        Raises ModelNotFound, or InvalidRequest ``unsupported_model`` if it is of the other kind.
        """
        manifest = self.find(name)
        if manifest is None:
            raise self._not_found(name, kind)
        if manifest.kind != kind:
            raise InvalidRequest(
                f"The model `{name}` is of kind {manifest.kind} and cannot be used for {kind}.",
                code="unsupported_model",
                param="model",
            )
        return manifest

    def default(self, kind: Kind) -> ModelManifest:
        """The model that stands in for hosted ones: by setting, by choice, or the embedded one."""
        model_id = self._default_by_setting(kind)
        if model_id is None:
            model_id = self._folder.snapshot().defaults.get(kind, _EMBEDDED[kind])
        manifest = self._models().get(model_id)
        if manifest is None or manifest.kind != kind:
            raise ConfigError(
                f"The default {kind} model `{model_id}` is not one of the {kind} models "
                f"({self._names(kind)}). {self._remedy_of_default(kind)}"
            )
        return manifest

    def _remedy_of_default(self, kind: Kind) -> str:
        """A setting wins over what was chosen."""
        if self._default_by_setting(kind) is None:
            return "Choose one: localassist models default NAME"
        field = "default_chat" if kind == "chat" else "default_embedder"
        return f"The setting models.{field} names it: change or remove that."

    def set_default(self, name: str) -> ModelManifest:
        """Make a model the default of its kind. ConfigError when a setting decides that."""
        manifest = self.find(name)
        if manifest is None:
            raise self._not_found(name)
        if self._default_by_setting(manifest.kind) not in (None, manifest.id):
            field = "default_chat" if manifest.kind == "chat" else "default_embedder"
            raise ConfigError(f"The setting models.{field} decides the default; change it there.")
        self._folder.choose_default(manifest.kind, manifest.id)
        return manifest

    def is_shipped(self, model_id: str) -> bool:
        """Whether the model comes with localassist and the user has not replaced it."""
        return model_id in self._shipped and model_id not in self._folder.snapshot().models

    def locate(self, manifest: ModelManifest, progress: Progress | None = None) -> Path:
        """The verified weights: a GGUF file, or the folder of a model that consists of several
        files. ModelFileRejected says what is wrong and what to do."""
        path = find_weights(manifest)
        self._verifier.verify(manifest, path, progress)
        return path if path.suffix == ".gguf" else path.parent

    def verify(self, manifest: ModelManifest, progress: Progress | None = None) -> None:
        """Hash the weights, however often that was done. Raises ModelFileRejected."""
        self._verifier.verify(manifest, find_weights(manifest), progress, anew=True)

    def is_verified(self, manifest: ModelManifest) -> bool:
        """Whether ``locate`` has hashed the weights as they are now. Raises ModelFileRejected where
        there are none."""
        return self._verifier.is_remembered(manifest, find_weights(manifest))

    def add(
        self,
        path: Path,
        *,
        file: str | None = None,
        model_id: str | None = None,
        copy: bool = False,
        tool_mode: ToolMode = "auto",
        progress: Progress | None = None,
    ) -> ModelManifest:
        """Make a chat model known, by default under its file's name: a GGUF file, all parts of a
        split one, or that in a folder, ``file`` if there are several. A folder in the layout of
        sentence-transformers is an embedding model.

        The model is used where it lies unless ``copy`` puts it into the data folder. Adding the
        same one again renews its manifest, but for what the user has set. Raises
        ModelFileRejected, or ConfigError for a taken id.
        """
        given = find_given(path, file)
        if given.kind == "embedding":
            if copy:
                raise ConfigError("The folder of an embedding model is used where it lies.")
            return self._add_embedder(given.path, model_id, progress)
        size_bytes, header = read_chat_model(given.path)
        model_id = choose_id(given.path, model_id)
        kept = like(given.path, self._folder.copy_path(model_id))[0]
        self._check_free(model_id, kept if copy else given.path)
        if copy:
            weights, sha256 = copy_weights(given.path, self._folder.copy_path(model_id), progress)
        else:
            weights, sha256 = given.path, hash_weights(given.path, progress)
        manifest = describe(model_id, weights, sha256, size_bytes, header)
        return self._renew(manifest.model_copy(update={"tool_mode": tool_mode}))

    def _add_embedder(
        self, weights: Path, model_id: str | None, progress: Progress | None
    ) -> ModelManifest:
        model_id = choose_id(Path(f"{weights.parent.name}.gguf"), model_id)
        self._check_free(model_id, weights)
        configs = {name: read_json(weights.parent / name) for name in _EMBEDDER_CONFIGS}
        sha256, size_bytes = hash_weights(weights, progress), weights.stat().st_size
        return self._renew(describe_embedder(model_id, weights, sha256, size_bytes, configs))

    def add_pulled(
        self, path: Path, *, model_id: str, sha256: str, fields: Mapping[str, str]
    ) -> ModelManifest:
        """Make a model known whose file, or all of whose parts, were downloaded into the data
        folder. They move to their place in it.

        ``sha256`` is that of all bytes; ``fields`` of the manifest win over the file's header.
        Raises ModelFileRejected, ConfigError for a taken id, or StorageUnavailable.
        """
        size_bytes, header = read_chat_model(path)
        targets = like(path, self._folder.copy_path(model_id))
        self._check_free(model_id, targets[0])
        manifest = describe(model_id, targets[0], sha256, size_bytes, header)
        manifest = manifest.model_copy(update=dict(fields))
        for part, target in zip(part_paths(path), targets, strict=True):
            move_file(part, target)
        self._verifier.remember(targets[0], stamp_of(targets[0]), sha256)
        return self._renew(manifest)

    def replace(self, model_id: str, manifest: ModelManifest) -> None:
        """Save another manifest for this model. ConfigError where it is one of another model.

        A shipped model is then the user's: what stands in the data folder wins, and removing that
        undoes it.
        """
        stored = self.stored(model_id)
        for field in ("id", "kind", "source", "sha256", "size_bytes"):
            if getattr(manifest, field) != getattr(stored, field):
                raise ConfigError(f"{field}: is a fact about the files of {model_id}; leave it.")
        self._folder.save(manifest)

    def stored(self, model_id: str) -> ModelManifest:
        """The manifest of a model as it is written down, which settings may overrule."""
        self.get(model_id)
        return {**self._shipped, **self._folder.snapshot().models}[model_id]

    def add_server(self, manifest: ModelManifest) -> ModelManifest:
        """Make a model on a server known. Adding the same one again renews its manifest.
        ConfigError for a taken id."""
        known = self._models().get(manifest.id)
        if known is not None and known.source != manifest.source:
            raise _taken(manifest.id)
        self._folder.save(manifest)
        return manifest

    def add_copy(
        self, path: Path, original: ModelManifest, *, model_id: str, description: str
    ) -> ModelManifest:
        """Make other weights of a chat model known as a model of its own.

        The file moves into the data folder. Template, tool mode and sampling are the original's;
        its aliases go on meaning the original. An earlier copy of the same id is replaced. Raises
        ModelFileRejected, ConfigError for a taken id, or StorageUnavailable.
        """
        size_bytes, header = read_chat_model(path)
        weights = self._folder.copy_path(choose_id(path, model_id))
        self._check_free(model_id, weights)
        changes = {
            "id": model_id,
            "source": FileSource(path=weights),
            "sha256": hash_weights(path),
            "size_bytes": size_bytes,
            "description": description,
            "aliases": (),
            "quantization": header.quantization,
        }
        manifest = ModelManifest.model_validate({**original.model_dump(), **changes})
        move_file(path, weights)
        self._folder.save(manifest)
        return manifest

    def check_free(self, model_id: str, path: Path | None = None) -> None:
        """ConfigError where another model has this id, so that ``add_copy`` would refuse it, or
        ``add_pulled`` of ``path``."""
        own = self._folder.copy_path(model_id)
        self._check_free(model_id, own if path is None else like(path, own)[0])

    @property
    def files_folder(self) -> Path:
        """Where weights are that belong to the data folder."""
        return self._folder.copy_path("any").parent

    def remove(self, model_id: str) -> ModelManifest:
        """Forget a model of the user's. Its file stays, unless it is a copy that ``add`` made."""
        manifest = self.get(model_id)
        if self.is_shipped(model_id):
            raise ConfigError(f"`{model_id}` comes with localassist and cannot be removed.")
        self._folder.delete(manifest)
        if self._folder.snapshot().defaults.get(manifest.kind) == model_id:
            self._folder.choose_default(manifest.kind, None)
        return manifest

    def _renew(self, manifest: ModelManifest) -> ModelManifest:
        """Save a manifest that was just made, with what the user had set in its last edition."""
        last = self._folder.snapshot().models.get(manifest.id)
        if last is not None:
            manifest = manifest.model_copy(update={key: getattr(last, key) for key in _KEPT})
        self._folder.save(manifest)
        return manifest

    def _models(self) -> dict[str, ModelManifest]:
        models = {**self._shipped, **self._folder.snapshot().models}
        for field in ("tool_mode", "quoting"):
            for model_id, value in getattr(self._settings, field).items():
                if model_id in models:
                    models[model_id] = models[model_id].model_copy(update={field: value})
        return models

    def _default_by_setting(self, kind: Kind) -> str | None:
        return self._settings.default_chat if kind == "chat" else self._settings.default_embedder

    def _alias_target(self, name: str, models: dict[str, ModelManifest]) -> str | None:
        aliases = list(self._aliases(models))
        for alias, target in aliases:
            if alias == name:
                return target
        for alias, target in aliases:
            if fnmatchcase(name, alias):
                return target
        if any(fnmatchcase(name, pattern) for pattern in self._settings.hosted_chat_names):
            return self.default("chat").id
        if any(fnmatchcase(name, pattern) for pattern in self._settings.hosted_embedding_names):
            return self.default("embedding").id
        return None

    def _aliases(self, models: dict[str, ModelManifest]) -> Iterator[tuple[str, str]]:
        yield from self._settings.aliases.items()
        for manifest in models.values():
            for alias in manifest.aliases:
                yield alias, manifest.id

    def _check_free(self, model_id: str, weights: Path) -> None:
        known = self._models().get(model_id)
        if known is not None and known.source != FileSource(path=weights):
            raise _taken(model_id)

    def _not_found(self, name: str, kind: Kind | None = None) -> ModelNotFound:
        return ModelNotFound(
            f"The model `{name}` does not exist or you do not have access to it. "
            f"Available models: {self._names(kind)}."
        )

    def _names(self, kind: Kind | None) -> str:
        return ", ".join(model.id for model in self.list() if kind in (None, model.kind))


def _taken(model_id: str) -> ConfigError:
    return ConfigError(f"A model named `{model_id}` exists already; give another name with --name.")
