"""Which form of calls a chat template shows, found by rendering calls and reading them back.

A turn with one call, one with two, and one with plain text are rendered; what stands around the
names and arguments of the calls is the markup. The model's name plays no part, so a template that
nobody has seen before works as well, as long as it writes a name and then JSON.
"""

from __future__ import annotations

import json
import os.path
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from localassist.chat.formats.base import ControlToken
from localassist.chat.formats.functionary import FUNCTIONARY, FUNCTIONARY_TAG
from localassist.chat.formats.hermes import GENERIC, HERMES
from localassist.chat.formats.llama3 import LLAMA3, PYTHON_TAG
from localassist.chat.formats.marked import MarkedFormat
from localassist.chat.formats.mistral import MISTRAL, MISTRAL_ARGS
from localassist.chat.markup import ID, INDEX, NAME, SLOT_CHARACTERS, CallMarkup
from localassist.chat.template import ChatTemplate
from localassist.errors import PromptRejected

_FAMILIES = (HERMES, LLAMA3, MISTRAL, MISTRAL_ARGS, FUNCTIONARY, FUNCTIONARY_TAG)
_NAMES = ("zq7first", "zq8other")
_IDS = ("zq7call01", "zq8call02")  # nine letters and digits: some templates refuse others
_ARGUMENTS = ({"zq7city": "Paris", "days": 1}, {"zq8city": "Rome", "days": 2})
_ANSWER = "zq9answer"
_USER = {"role": "user", "content": "Hello."}
_PARAMETERS = {
    "type": "object",
    "properties": {key: {"type": "string", "description": "One."} for key in ("city", "days")},
    "required": ["city"],
}
_TOOLS = [
    {
        "type": "function",
        "function": {"name": name, "description": "Weather.", "parameters": _PARAMETERS},
    }
    for name in _NAMES
]
_REMEMBERED_TEMPLATES = 32
_LONGEST_PART = 200  # characters; a template that writes more between two calls explains something

_SEGMENT = re.compile(r"<[^<>]*>|\[/?[A-Z_]+\]|.", re.DOTALL)
_THOUGHT = re.compile(r".*(<[^<>]*think[^<>]*>|\[/?THINK\])", re.DOTALL | re.IGNORECASE)
_TRIGGER = re.compile(r"<[^<>\s]+>|\[[A-Z_/]+\]|[^\s{\[\"]+")
_TURN_ENDS = re.compile(
    r"<\|(?:eom_id|eot_id|eom|eot|im_end|end|return|call|calls)\|>|<｜end▁of▁sentence｜>"
)


class _Read(NamedTuple):
    """One turn with calls, cut at names and arguments: the texts before the first name, between
    names and arguments, between calls, and behind the last arguments."""

    begin: str
    middles: list[str]
    joints: list[str]
    rest: str


def detect(template: ChatTemplate, control_token: ControlToken) -> MarkedFormat:
    """The format of the calls that the template shows; the generic one when it shows none or they
    cannot be read."""
    return _form(template).for_vocabulary(control_token)


def control_tokens_of(tokenize: Callable[..., Sequence[int]]) -> ControlToken:
    """Which texts are control tokens, by an engine's ``tokenize``: those that become one token only
    where control tokens are read. Tags that the model's makers added to the vocabulary as ordinary
    text count too: engines treat them alike."""

    def control_token(text: str) -> int | None:
        tokens = tokenize(text, parse_special=True)
        if len(tokens) != 1:
            return None
        is_tag = text.startswith("<") and text.endswith(">")
        if is_tag or list(tokenize(text, parse_special=False)) != list(tokens):
            return tokens[0]
        return None

    return control_token


@lru_cache(maxsize=_REMEMBERED_TEMPLATES)  # asked for in every turn
def _form(template: ChatTemplate) -> MarkedFormat:
    for text_arguments in (False, True):
        markup = _read_markup(template, text_arguments)
        if markup is None:
            continue
        for family in _FAMILIES:
            if replace(family.markup, lead=markup.lead) == markup:
                return replace(family, markup=markup, text_arguments=text_arguments)
        return MarkedFormat("template", markup, text_arguments=text_arguments)
    return HERMES if _asks_for_hermes(template) else GENERIC


def _asks_for_hermes(template: ChatTemplate) -> bool:
    """A template that shows no calls may still tell the model how to write them."""
    if template.supports_tool_calls or not template.supports_tools:
        return False
    shown = _render(template, []) or ""
    return HERMES.markup.trigger in shown and '"arguments"' in shown


def _read_markup(template: ChatTemplate, text_arguments: bool) -> CallMarkup | None:
    """What stands around names and arguments, None when that does not describe the calls."""
    answer = _render(template, [{"role": "assistant", "content": _ANSWER}])
    called = _render(template, [_calling(1, text_arguments)])
    if answer is None or called is None or answer.count(_ANSWER) != 1:
        return None
    prompt = _render(template, [], opens_turn=True)
    header = _header_size(prompt, answer, called)
    before_text, after_text = answer[header:].split(_ANSWER)
    one = _cut(called[header:], 1)
    if one is None:
        return None
    text_end, end, turn_end = _without_turn_end(after_text, one.rest)
    if text_end.strip():
        return None  # texts have an end mark of their own, which no grammar here knows
    twice = _render(template, [_calling(2, text_arguments)])
    two = None if twice is None else _cut(twice[header:], 2)
    markup = _markup(one, two, end, _trimmed(before_text), template)
    if markup is None or _ends_early(markup, turn_end):
        return None
    return markup


def _markup(
    one: _Read, two: _Read | None, end: str, text_begin: str, template: ChatTemplate
) -> CallMarkup | None:
    begin = _trimmed(one.begin)
    [middle] = one.middles
    joint: str | None = None
    if two is not None and _LONGEST_PART > len(two.joints[0]):
        joint = two.joints[0]
        if two.middles[0] != two.middles[1]:
            middle = re.sub(r"\b0\b", INDEX, two.middles[0])
            if middle != re.sub(r"\b1\b", INDEX, two.middles[1]):
                return None
    if not text_begin:
        begin = begin.lstrip()
    found = _TRIGGER.match(begin)
    trigger = found.group() if found else ""
    after_text: str | None = begin if found else None
    if not begin:
        # The generation prompt ends inside the first marker; later ones are whole.
        found = _TRIGGER.match(joint or "")
        if not found or not text_begin:
            return None
        trigger, after_text = found.group(), joint
    lead = PYTHON_TAG if after_text is None and PYTHON_TAG in template.source else ""
    markup = CallMarkup(begin, middle, end, joint, after_text, trigger, lead, text_begin)
    return markup if _is_sound(markup) else None


def _is_sound(markup: CallMarkup) -> bool:
    """Names end where the next text begins, and no text is the template's own chatter."""
    slots = (NAME, ID, INDEX)
    if not markup.middle or markup.middle.endswith("{"):
        return False
    if len(markup.begin) > _LONGEST_PART or len(markup.end) > _LONGEST_PART:
        return False
    if any(name in text for name in (*_NAMES, "zq7", "zq8") for text in markup.texts):
        return False
    for text in (f"{markup.begin}{NAME}{markup.middle}{{", markup.joint or "", markup.end):
        following = zip(text, f"{text[1:]}a", strict=False)
        if any(slot in slots and after in SLOT_CHARACTERS for slot, after in following):
            return False
    return True


def _cut(turn: str, count: int) -> _Read | None:
    """A rendered turn at the names and arguments of its calls."""
    texts: list[str] = []
    for name, value in list(zip(_NAMES, _ARGUMENTS, strict=True))[:count]:
        arguments = json.dumps(value)
        at = turn.find(arguments)
        named = turn.rfind(name, 0, at) if at >= 0 else -1
        if named < 0:
            return None
        texts += [turn[:named], turn[named + len(name) : at]]
        turn = turn[at + len(arguments) :]
    texts.append(turn)
    for call_id in _IDS:
        texts = [text.replace(call_id, ID) for text in texts]
    return _Read(texts[0], texts[1:-1:2], texts[2:-1:2], texts[-1])


def _header_size(prompt: str | None, answer: str, called: str) -> int:
    """Where the model's own words begin in the rendered turns."""
    if prompt is not None and answer.startswith(prompt) and called.startswith(prompt):
        return len(prompt)
    size = len(os.path.commonprefix([answer, called]))
    # Two marks may begin alike.
    opening = answer.rfind("<", 0, size)
    return opening if opening >= 0 and ">" not in answer[opening:size] else size


def _without_turn_end(answer_rest: str, call_rest: str) -> tuple[str, str, str]:
    """Both rests without what ends every turn, and that."""
    first, second = (_SEGMENT.findall(rest.rstrip()) for rest in (answer_rest, call_rest))
    turn_end: list[str] = []
    while first and second and first[-1] == second[-1]:
        turn_end.insert(0, first.pop())
        second.pop()
    rests = ("".join(first), "".join(second))
    text_end, end = (_TURN_ENDS.split(rest, maxsplit=1)[0].rstrip() for rest in rests)
    return text_end, end, "".join(turn_end)


def _ends_early(markup: CallMarkup, turn_end: str) -> bool:
    """Whether the model would have ended its turn within a call: engines stop at these tokens."""
    inner = markup.begin + markup.middle + (markup.joint or "")
    marks = [mark for mark in _SEGMENT.findall(turn_end) if len(mark) > 1]
    return bool(_TURN_ENDS.search(inner)) or any(mark in inner for mark in marks)


def _trimmed(text: str) -> str:
    """Without a thought, which is no part of a call, and not white space alone."""
    thought = _THOUGHT.match(text)
    kept = text[thought.end() :].lstrip() if thought else text
    return kept if kept.strip() else ""


def _render(
    template: ChatTemplate, turns: list[dict[str, Any]], *, opens_turn: bool = False
) -> str | None:
    try:
        return template.render([_USER, *turns], _TOOLS, add_generation_prompt=opens_turn)
    except PromptRejected:
        return None


def _calling(count: int, text_arguments: bool) -> dict[str, Any]:
    calls = [
        {
            "id": call_id,
            "type": "function",
            "function": {
                "name": name,
                "arguments": json.dumps(arguments) if text_arguments else dict(arguments),
            },
        }
        for name, call_id, arguments in zip(_NAMES, _IDS, _ARGUMENTS, strict=True)
    ]
    return {"role": "assistant", "content": "", "tool_calls": calls[:count]}
