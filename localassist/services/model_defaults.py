"""What a model does where a request does not say, changed by its user and checked before it is
kept."""

from __future__ import annotations

from collections.abc import Sequence

from localassist.chat.template import ChatTemplate
from localassist.errors import ConfigError, PromptRejected
from localassist.registry.catalog import Catalog
from localassist.registry.defaults import parse_changes
from localassist.registry.gguf import read_header
from localassist.registry.manifest import ModelManifest, ServerSource, check_fields
from localassist.registry.weights import find_weights


def change(catalog: Catalog, name: str, values: Sequence[str]) -> ModelManifest:
    """Set fields by ``key=value``. Raises ConfigError, and then nothing is changed."""
    stored = catalog.stored(name)
    fields = stored.model_dump() | dict(parse_changes(values, stored))
    fields = {key: value for key, value in fields.items() if value is not None}
    return replace(catalog, name, check_fields(fields, name))


def replace(catalog: Catalog, name: str, manifest: ModelManifest) -> ModelManifest:
    """Take another manifest for a model. Raises ConfigError, and then nothing is changed."""
    if manifest.chat_template is not None:
        try:
            template = ChatTemplate(manifest.chat_template, {"bos_token": "", "eos_token": ""})
            template.render([{"role": "user", "content": "Hello."}])
        except PromptRejected as error:
            raise ConfigError(f"chat_template: {error.message}") from error
    _check_context(manifest)
    catalog.replace(name, manifest)
    return manifest


def _check_context(manifest: ModelManifest) -> None:
    """No model reads more than it was trained for, whatever is written down."""
    if manifest.kind == "embedding" or isinstance(manifest.source, ServerSource):
        return
    trained = read_header(find_weights(manifest)).context_length
    if trained and manifest.context_length is not None and manifest.context_length > trained:
        raise ConfigError(
            f"context_length: {manifest.context_length:,} is more than the {trained:,} tokens that "
            "the model was trained for."
        )
