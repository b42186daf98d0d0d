"""All settings in one frozen tree: a section per package, from file, environment and flags.

Precedence, lowest first: ``localassist.toml`` in the data folder, environment variables such as
``LOCALASSIST_ENGINE__CONTEXT_TOKENS``, flags. An unknown key or a value of the wrong kind is an
error that names the key and where it stands. Loaded once, at an entry point.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from localassist.engine.config import EngineSettings
from localassist.errors import ConfigError
from localassist.observability.config import LoggingSettings, TracingSettings
from localassist.registry.config import ModelsSettings
from localassist.retrieval.config import RetrievalSettings
from localassist.runs.config import RunSettings
from localassist.sandbox.config import SandboxSettings
from localassist.server.config import ServerSettings
from localassist.services.config import RetentionSettings
from localassist.storage.config import StorageSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PREFIX = "LOCALASSIST_"
FILE_NAME = "localassist.toml"


class Settings(BaseModel):
    """Every setting. ``home`` is the data folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path
    storage: StorageSettings = Field(default_factory=StorageSettings)
    models: ModelsSettings = Field(default_factory=ModelsSettings)
    engine: EngineSettings = Field(default_factory=EngineSettings)
    retrieval: RetrievalSettings = Field(default_factory=RetrievalSettings)
    sandbox: SandboxSettings = Field(default_factory=SandboxSettings)
    runs: RunSettings = Field(default_factory=RunSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    server: ServerSettings = Field(default_factory=ServerSettings)
    logging: LoggingSettings = Field(default_factory=LoggingSettings)
    tracing: TracingSettings = Field(default_factory=TracingSettings)


def load_settings(
    home: Path | None = None,
    config_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    **overrides: Any,
) -> Settings:
    """Read and check everything.

    ``overrides`` are sections with the values flags set, e.g. ``server={"port": 0}``; None values
    among them are left out. Raises ConfigError naming key and source.
    """
    environ = os.environ if environ is None else environ
    home = (home or _default_home(environ)).expanduser().absolute()
    tree: dict[str, Any] = {}
    _merge(tree, _read_file(home / FILE_NAME if config_file is None else config_file, config_file))
    _merge(tree, _read_environment(environ))
    _merge(tree, {name: _given(section) for name, section in overrides.items()})
    try:
        return Settings.model_validate({**tree, "home": home})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise ConfigError(
            f"Setting '{key}': {said} (from {_source(key, environ, home)})."
        ) from error


def _default_home(environ: Mapping[str, str]) -> Path:
    if environ.get(f"{PREFIX}HOME"):
        return Path(environ[f"{PREFIX}HOME"])
    data = environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path("~/.local/share")) / "localassist"


def _read_file(path: Path, wanted: Path | None) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as error:
        if wanted is None:
            return {}
        raise ConfigError(f"The configuration file {path} does not exist.") from error
    except OSError as error:
        raise ConfigError(
            f"The configuration file {path} cannot be read: {error.strerror}."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration file {path} is not valid TOML: {error}.") from error


def _read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """``LOCALASSIST_SECTION__KEY=value``; lists and tables as TOML values."""
    tree: dict[str, Any] = {}
    for name, text in environ.items():
        section, separator, key = name.removeprefix(PREFIX).lower().partition("__")
        if not name.startswith(PREFIX) or not separator:
            continue
        if section not in Settings.model_fields:
            raise ConfigError(f"The environment variable {name} names no section of the settings.")
        tree.setdefault(section, {})[key] = _value(text)
    return tree


def _value(text: str) -> Any:
    if text.startswith(("[", "{")):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return text
    return text


def _merge(tree: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, Mapping) and isinstance(tree.get(name), dict):
            tree[name] = {**tree[name], **value}
        else:
            tree[name] = dict(value) if isinstance(value, Mapping) else value


def _given(section: Any) -> Any:
    if isinstance(section, Mapping):
        return {key: value for key, value in section.items() if value is not None}
    return section


def _source(key: str, environ: Mapping[str, str], home: Path) -> str:
    variable = PREFIX + "__".join(key.split(".")[:2]).upper()  # one holds a whole list or table
    if variable in environ:
        return f"environment variable {variable}"
    return f"a flag or {home / FILE_NAME}"
