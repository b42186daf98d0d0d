"""Formats read off templates: known families, shapes nobody has seen, and what cannot be read."""

from __future__ import annotations

import pytest

from localassist.chat.formats import FORMATS, control_tokens_of, detect
from localassist.chat.formats.marked import MarkedFormat
from localassist.chat.markup import ID, INDEX
from localassist.chat.template import ChatTemplate
from tests.chat import family_templates as templates
from tests.chat.conftest import FakeTokenizer

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}


def python_tag_only(text: str) -> int | None:
    return 7 if text == "<|python_tag|>" else None


def found(source: str | None) -> MarkedFormat:
    return detect(ChatTemplate(source, SPECIAL), python_tag_only)


@pytest.mark.parametrize("family", templates.FAMILIES)
def test_each_family_is_known_by_what_its_template_shows(family: str) -> None:
    known = FORMATS[family]
    assert isinstance(known, MarkedFormat)
    read = found(templates.FAMILIES[family])
    assert read.name == family
    assert read.markup == known.markup
    assert read.text_arguments == known.text_arguments
    assert read.in_template


def test_a_lead_that_is_no_token_of_the_vocabulary_is_left_out() -> None:
    template = ChatTemplate(templates.LLAMA3, SPECIAL)
    assert detect(template, lambda text: None).markup.lead == ""
    assert found(templates.LLAMA3).control_tokens == {"<|python_tag|>": 7}


def test_numbers_of_calls_are_seen() -> None:
    markup = found(templates.NUMBERED).markup
    assert markup.begin == "<|all|><|one|>functions."
    assert markup.middle == f":{INDEX}<|with|>"
    assert markup.joint == "<|done|><|one|>functions."
    assert (markup.end, markup.trigger) == ("<|done|><|end_all|>", "<|all|>")


def test_ids_before_names_are_seen() -> None:
    markup = found(templates.NAMED_IDS).markup
    assert markup.begin == f"<|one|>{ID}<|name|>"
    assert markup.has_ids


def test_thoughts_are_no_part_of_a_call() -> None:
    markup = found(templates.THINKING).markup
    assert markup.begin == '<call>{"tool": "'
    assert markup.middle == '", "input": '
    assert (markup.end, markup.text_begin) == ("}</call>", "")


@pytest.mark.parametrize(
    "source",
    [
        None,
        templates.PARAMETERS,
        templates.WRAPPED,
        templates.FRAMED,
        templates.ENDING,
        templates.SILENT,
        "{{ raise_exception('never') }}",
    ],
    ids=["none", "parameters", "wrapped", "framed", "ending", "silent", "refusing"],
)
def test_what_cannot_be_read_gets_the_generic_form(source: str | None) -> None:
    read = found(source)
    assert read.name == "generic"
    assert not read.in_template


def test_a_template_that_only_describes_the_form_is_believed() -> None:
    read = found(templates.INSTRUCTED)
    assert read.name == "hermes"
    assert read.in_template


def test_control_tokens_are_found_by_tokenizing() -> None:
    tokenizer = FakeTokenizer()
    control_token = control_tokens_of(tokenizer.tokenize)
    assert control_token("[INST]") == tokenizer.special("[INST]")
    assert control_token("abc") is None
    assert control_token("<tool_call>") is None
