"""Chat templates: what is detected, what is refused, and what a hostile one cannot do."""

from __future__ import annotations

import pytest

from localassist.chat import jinja
from localassist.chat.template import ChatTemplate
from localassist.clock import monotonic
from localassist.errors import PromptRejected

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}

SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are SmolLM<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
STRICT = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m.role == 'user' %}[INST] {{ m.content | trim }} [/INST]"
    "{% else %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
TOOLS = (
    "{% if tools %}<|im_start|>system\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}"
    "<|im_end|>\n{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for call in m.tool_calls %}<tool_call>\n{{ call.function | tojson }}\n</tool_call>"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize(
    ("source", "system", "tools", "calls", "alternation"),
    [
        (None, True, False, False, False),
        (SMOLLM2, True, False, False, False),
        (STRICT, False, False, False, True),
        (TOOLS, True, True, True, False),
    ],
)
def test_capabilities_are_found_by_rendering(
    source: str | None, system: bool, tools: bool, calls: bool, alternation: bool
) -> None:
    template = ChatTemplate(source, SPECIAL)
    assert template.supports_system is system
    assert template.supports_tools is tools
    assert template.supports_tool_calls is calls
    assert template.needs_alternation is alternation


def test_fallback_is_chatml() -> None:
    rendered = ChatTemplate(None, SPECIAL).render([user("Hi\n"), user("there")])
    assert rendered == (
        "<|im_start|>user\nHi\n<|im_end|>\n<|im_start|>user\nthere<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_generation_prefix() -> None:
    assert ChatTemplate(SMOLLM2, SPECIAL).generation_prefix == "<|im_start|>assistant\n"
    assert ChatTemplate(STRICT, SPECIAL).generation_prefix == ""


def test_refusal_carries_the_templates_words() -> None:
    with pytest.raises(PromptRejected, match="roles must alternate"):
        ChatTemplate(STRICT, SPECIAL).render([user("a"), user("b")])


@pytest.mark.parametrize(
    "source",
    [
        "{% for %}",
        "{% for a in [1] %}" * 25 + "{% endfor %}" * 25,
        "{% if true %}" * 120 + "{% endif %}" * 120,
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{{ " + "9" * 5000 + " }}",
        "{% macro m(a, a) %}{% endmacro %}",
        "{{ range(a=1, a=2) }}",
        "{% break %}",
    ],
    ids=["tag", "loops", "ifs", "parentheses", "digits", "parameters", "keywords", "break"],
)
def test_invalid_source_is_refused(source: str) -> None:
    with pytest.raises(PromptRejected, match="not valid"):
        ChatTemplate(source, SPECIAL)


def test_hugging_face_dialect() -> None:
    source = (
        "{% for m in messages %}{% if m.content == 'skip' %}{% continue %}{% endif %}\n"
        "{% generation %}{{ m.content }}{% endgeneration %}{{ {'a': '<é>'} | tojson }}"
        "{{ loop.length }}{% if loop.last %}!{% endif %}{% endfor %}"
        "{{ strftime_now('%Y') | length }}{{ [1, 2][::-1] }}"
    )
    rendered = ChatTemplate(source, SPECIAL).render([user("skip"), user("x")])
    assert rendered == 'x{"a": "<é>"}2!4[2, 1]'


def test_what_real_templates_do_still_works() -> None:
    source = (
        "{{ ' a-b '.strip().split('-') | join(', ') }}|{{ 'aXa'.replace('X', 'b') }}"
        "|{{ 'aXa' | replace('X', 'b') }}|{{ messages | map(attribute='role') | unique | list }}"
        "|{{ messages | selectattr('role', 'equalto', 'user') | list | length }}"
        "|{{ 'x' ~ 1 ~ none }}|{{ {'b': 1, 'a': 2} | dictsort }}|{{ ', '.join(['a', 'b']) }}"
        "|{{ {'a': {'b': 1}} | tojson(indent=2) | length }}|{{ 'ab' | upper }}{{ 'a' | indent(2) }}"
        "{% for key, value in {'k': 'v'}.items() %}{{ key }}{{ value }}{% endfor %}"
    )
    assert ChatTemplate(source, SPECIAL).render([user("Hello")]) == (
        "a, b|aba|aba|['user']|1|x1None|[('a', 2), ('b', 1)]|a, b|27|ABakv"
    )


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ 'a' * 99999999999 }}",
        "{{ 9 ** 99999999 }}",
        "{{ 'a'.ljust(99999999999) }}",
        "{{ '%999999999d' % 1 }}",
        "{% for i in range(999999999) %}{% endfor %}",
        "{% set n = namespace(s='aaaaaaaa') %}{% for i in range(60) %}"
        "{% set n.s = n.s ~ n.s %}{% endfor %}",
        "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
        "{% for m in messages %}{{ ('b' * 8000000) }}{{ ('b' * 8000000) }}{% endfor %}",
        "{{ messages.missing.deeper }}",
        "{{ 1 / 0 }}",
        "{{ undefined_function() }}",
        "{{ lipsum(n=99999999) }}",
        "{{ ('a' * 8000000).replace('a', 'b' * 8000000) }}",
        "{{ ('a' * 8000000) | replace('a', 'b' * 8000000) }}",
        "{{ 'xx' | map('replace', 'x', 'b' * 8000000) | list | join | length }}",
        "{{ ('b' * 8000000).join(range(99999) | map('string') | list) }}",
        "{{ range(99999) | join('b' * 8000000) }}",
        "{{ ('a' * 8000000).translate({97: 'b' * 8000000}) }}",
        "{{ '{:>99999999999}'.format(1) }}",
        "{{ (1).to_bytes(99999999999, 'big') }}",
        "{{ [1] | batch(9999999999, 0) | list }}",
        "{{ [1] | slice(9999999999) | list }}",
        "{{ 1 | round(9999999999, 'ceil') }}",
        "{{ [[0] * 8000000] * 9999 | sum(start=[]) }}",
        "{% set big = 'b' * 8000000 %}{{ big ~ big }}",
        "{{ ['b' * 8000000] * 9999 }}",
        "{{ (['b' * 8000000] * 9999) | string | length }}",
        "{{ (['b' * 8000000] * 9999) | tojson | length }}",
        "{% set n = namespace(s=[]) %}{% for i in range(9999) %}"
        "{% set n.s = n.s + ['b' * 8000000] %}{% endfor %}",
        "{{ range(99999) | map('string') | map('replace', '1', 'b' * 4000000) | list | length }}",
    ],
)
def test_hostile_templates_are_refused(source: str) -> None:
    with pytest.raises(PromptRejected):
        ChatTemplate(source, SPECIAL).render([user("Hello")])


def test_endless_loops_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jinja, "MAX_RENDER_SECONDS", 0.1)
    source = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"
    started = monotonic()
    with pytest.raises(PromptRejected, match="too long"):
        ChatTemplate(source, SPECIAL).render([user("Hello")])
    assert monotonic() - started < 20
