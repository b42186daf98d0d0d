"""Small chat templates with the shapes of the families, and what else templates do."""

from __future__ import annotations

_TURNS = "{% for m in messages %}"
_END = "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
_TOOLS = "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
_HEAD = "<|im_start|>{{ m.role }}\n"


def chatml(calls: str, body: str = "{{ m.content }}") -> str:
    """ChatML that writes an assistant's calls as ``calls`` says."""
    turn = f"{_HEAD}{{% if m.tool_calls %}}{calls}{{% else %}}{body}{{% endif %}}<|im_end|>\n"
    return _TOOLS + _TURNS + turn + _END


EACH = "{% for c in m.tool_calls %}"
HERMES = chatml(
    EACH + "{{ '\n' if not loop.first }}<tool_call>\n"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}\n'
    "</tool_call>{% endfor %}"
)
LLAMA3 = chatml(
    "{% if m.tool_calls | length != 1 %}{{ raise_exception('one call at a time') }}{% endif %}"
    "{% set f = m.tool_calls[0].function %}"
    '{"name": "{{ f.name }}", "parameters": {{ f.arguments | tojson }}}'
    "{# some models write <|python_tag|> first #}"
)
MISTRAL = (
    "{{ bos_token }}{% set n = namespace(turns=0) %}" + _TURNS + "{% if m.role == 'tool' %}"
    "{% if m.tool_call_id | length != 9 %}{{ raise_exception('ids have nine signs') }}{% endif %}"
    '[TOOL_RESULTS]{"content": {{ m.content }}, "call_id": "{{ m.tool_call_id }}"}[/TOOL_RESULTS]'
    "{% elif m.tool_calls %}[TOOL_CALLS][" + EACH + '{"name": "{{ c.function.name }}", '
    '"arguments": {{ c.function.arguments | tojson }}, "id": "{{ c.id }}"}'
    "{{ ', ' if not loop.last }}{% if c.id | length != 9 %}{{ raise_exception('ids') }}{% endif %}"
    "{% endfor %}]{{ eos_token }}"
    "{% else %}{% if (m.role == 'user') != (n.turns % 2 == 0) %}"
    "{{ raise_exception('turns must alternate') }}{% endif %}{% set n.turns = n.turns + 1 %}"
    "{% if m.role == 'user' %}{% if tools and loop.last %}[AVAILABLE_TOOLS]{{ tools | tojson }}"
    "[/AVAILABLE_TOOLS]{% endif %}[INST]{{ m.content }}[/INST]"
    "{% else %}{{ m.content }}{{ eos_token }}{% endif %}{% endif %}{% endfor %}"
)
MISTRAL_ARGS = chatml(
    EACH + "[TOOL_CALLS]{{ c.function.name }}[ARGS]{{ c.function.arguments | tojson }}{% endfor %}"
)
FUNCTIONARY = (
    _TOOLS + _TURNS + _HEAD + "{% if m.role == 'assistant' %}"
    "{% if m.content %}>>>all\n{{ m.content }}{% endif %}"
    + EACH
    + "{{ '>>>' + c.function.name + '\n' + c.function.arguments }}{% endfor %}"
    "{% else %}{{ m.content }}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n>>>{% endif %}"
)
FUNCTIONARY_TAG = chatml(
    EACH + "<function={{ c.function.name }}>{{ c.function.arguments | tojson }}</function>"
    "{% endfor %}"
)

FAMILIES = {
    "hermes": HERMES,
    "llama3": LLAMA3,
    "mistral": MISTRAL,
    "mistral-args": MISTRAL_ARGS,
    "functionary": FUNCTIONARY,
    "functionary-tag": FUNCTIONARY_TAG,
}

NUMBERED = chatml(
    "<|all|>"
    + EACH
    + "<|one|>functions.{{ c.function.name }}:{{ loop.index0 }}<|with|>"
    + "{{ c.function.arguments | tojson }}<|done|>{% endfor %}<|end_all|>"
)
NAMED_IDS = chatml(
    EACH + "<|one|>{{ c.id }}<|name|>{{ c.function.name }}<|with|>"
    "{{ c.function.arguments | tojson }}<|done|>{% endfor %}"
)
THINKING = (
    chatml("", "").replace("<|im_end|>\n{% endfor %}", "", 1).split("<|im_start|>{{ m.role }}")[0]
    + _HEAD
    + "{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}"
    + EACH
    + '\n<call>{"tool": "{{ c.function.name }}", '
    + '"input": {{ c.function.arguments | tojson }}}</call>'
    + "{% endfor %}<|im_end|>\n{% endfor %}"
    + "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
PARAMETERS = chatml(
    EACH + "<tool_call><function={{ c.function.name }}>{% for k, v in c.function.arguments.items() "
    "%}<parameter={{ k }}>{{ v }}</parameter>{% endfor %}</function></tool_call>{% endfor %}"
)
WRAPPED = chatml(
    EACH + "call:{{ c.function.name }}{{ '{' }}{{ c.function.arguments }}}{% endfor %}"
)
FRAMED = chatml(
    EACH + '<act>{"name": "{{ c.function.name }}", "arguments": '
    "{{ c.function.arguments | tojson }}}</act>{% endfor %}",
    "<answer>{{ m.content }}</answer>",
)
ENDING = chatml(
    "<|im_end|>\n<|im_start|>call\n" + EACH + '{"name": "{{ c.function.name }}", "arguments": '
    "{{ c.function.arguments | tojson }}}{% endfor %}"
)
SILENT = chatml("")
INSTRUCTED = SILENT.replace(
    "{{ tools | tojson }}",
    '{{ tools | tojson }}\n<tool_call>\n{"name": "…", "arguments": {…}}\n</tool_call>',
)
