"""A model's chat template: messages and tools in, prompt text out, plus what it can express.

What a template supports is found out by rendering small conversations, never by the model's name.
Knows nothing of tokens; ``prompt`` decides what goes in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from localassist.chat.jinja import COMPILE_ERRORS, RENDER_ERRORS, compile_template, render
from localassist.errors import PromptRejected

# For models without a template: ChatML, the format most small chat models are tuned on.
CHATML = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_PROBE = "probe7text"
_PROBE_NAME = "probe7name"
_USER = {"role": "user", "content": "Hello."}
_CALL = {
    "id": "call00001",
    "type": "function",
    "function": {"name": _PROBE_NAME, "arguments": {"city": "Paris"}},
}
_TEXT_CALL = {
    **_CALL,
    "function": {"name": _PROBE_NAME, "arguments": '{"city": "Paris"}'},
}
# Some templates want the arguments as JSON text.
_CALLINGS = [
    {"role": "assistant", "content": "", "tool_calls": [call]} for call in (_CALL, _TEXT_CALL)
]
_TOOL = {
    "type": "function",
    "function": {
        "name": _PROBE_NAME,
        "description": "Weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "The city."}},
            "required": ["city"],
        },
    },
}


class ChatTemplate:
    """Renders conversations; ``source`` None means the ChatML fallback.

    ``special_tokens`` are the texts of ``bos_token`` and ``eos_token``.
    Raises PromptRejected when the source is not a valid template.
    """

    def __init__(self, source: str | None, special_tokens: Mapping[str, str]) -> None:
        self._special_tokens = dict(special_tokens)
        self.source = CHATML if source is None else source
        try:
            self._template = compile_template(self.source)
        except COMPILE_ERRORS as error:
            raise PromptRejected(f"The model's chat template is not valid: {error}") from error

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
        *,
        add_generation_prompt: bool = True,
    ) -> str:
        """The prompt text. Raises PromptRejected when the template refuses the conversation."""
        variables = {
            **self._special_tokens,
            "messages": list(messages),
            "tools": list(tools) or None,
            "add_generation_prompt": add_generation_prompt,
        }
        try:
            return render(self._template, variables)
        except RENDER_ERRORS as error:
            reason = str(error) or type(error).__name__
            raise PromptRejected(
                f"The model's chat template cannot render this conversation: {reason}"
            ) from error

    @cached_property
    def supports_system(self) -> bool:
        """A system message appears in the prompt."""
        return self._shows(_PROBE, [{"role": "system", "content": _PROBE}, _USER])

    @cached_property
    def supports_tools(self) -> bool:
        """Tool definitions appear in the prompt."""
        return self._shows(_PROBE_NAME, [_USER], [_TOOL])

    @cached_property
    def supports_tool_calls(self) -> bool:
        """The calls of an assistant turn appear in the prompt."""
        return any(
            self._shows(_PROBE_NAME, [_USER, calling, _result("ok")]) for calling in _CALLINGS
        )

    @cached_property
    def supports_tool_role(self) -> bool:
        """A result with role ``tool`` appears in the prompt."""
        return any(self._shows(_PROBE, [_USER, calling, _result(_PROBE)]) for calling in _CALLINGS)

    @cached_property
    def needs_calls(self) -> bool:
        """A result can only follow a turn whose calls are given as such, not as its text."""
        spoken = {"role": "assistant", "content": "Yes."}
        return not self._shows(_PROBE, [_USER, spoken, _result(_PROBE), spoken, _USER])

    @cached_property
    def needs_alternation(self) -> bool:
        """Two user messages in a row are refused; they have to be joined."""
        return not self._shows(_PROBE, [_USER, {"role": "user", "content": _PROBE}])

    @cached_property
    def generation_prefix(self) -> str:
        """The text that opens an assistant turn, for instance ``<|im_start|>assistant``."""
        closed = self.render([_USER], add_generation_prompt=False)
        opened = self.render([_USER])
        return opened.removeprefix(closed) if opened.startswith(closed) else ""

    def _shows(
        self,
        text: str,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> bool:
        try:
            return text in self.render(messages, tools)
        except PromptRejected:
            return False


def _result(content: str) -> dict[str, Any]:
    return {
        "role": "tool",
        "content": content,
        "name": _PROBE_NAME,
        "tool_call_id": _CALL["id"],
    }
