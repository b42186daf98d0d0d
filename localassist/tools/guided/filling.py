"""The arguments of one call, slot by slot: what the question settles, then numbers, then texts.

Numbers are dealt out together, because each belongs to one slot. A text is chosen among phrases of
the question by the model and by the words beside them. What the question does not hold is written
by the model under the slot's schema.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from localassist.chat.formats.json_values import grammar_of, json_rule
from localassist.chat.prompt import PromptBuilder
from localassist.core import ToolSpec
from localassist.errors import GenerationFailed, GrammarRejected
from localassist.tools.evidence import Question
from localassist.tools.evidence.words import Span, mentions, options
from localassist.tools.guided.assignment import apart, best_assignment
from localassist.tools.guided.draft import Draft
from localassist.tools.guided.rules import slot_rule, written_rule
from localassist.tools.guided.schemas import (
    fits,
    is_copyable,
    is_number,
    is_record,
    shortened,
    simplified,
)
from localassist.tools.guided.sheet import (
    Choice,
    Filled,
    Sheet,
    counts,
    is_free_text,
    states_default,
)
from localassist.tools.guided.work import Work
from localassist.tools.guided.worked_examples import argument_messages, summary
from localassist.tools.schema import closed, value_problem

_ARGUMENTS_TOKENS = 512
_CUE_WEIGHT = 1.5
_ORDER_WEIGHT = 0.4
_MOST_DISLIKE = 6.0  # nats: the model is no judge of what it finds quite unlikely
_OPTIONAL_NUMBER_CUE = 0.5
_COPIED_GROUNDING = 0.4
_LED_NAME = 3.0  # a name behind the preposition that such a slot goes with: "in Rome"


class Filler:
    """Fills calls for one plan."""

    def __init__(self, work: Work, builder: PromptBuilder) -> None:
        self._work = work
        self._builder = builder

    async def fill(self, tool: ToolSpec, question: Question) -> Draft:
        """Every argument that is required or that the question gives a reason for.

        Raises GenerationFailed when no arguments fit the schema.
        """
        # A model on another server is asked for tokens over the network: not on the event loop.
        messages = argument_messages(tool, question.text)
        prompt = (await asyncio.to_thread(self._builder.build, messages)).token_ids
        parameters = {"type": "object", **tool.parameters}
        draft = Draft(tool)
        sheet = Sheet(question, summary(tool))
        form = _Form(self._work, prompt, parameters, sheet, "")
        draft.filled = await form.fill()
        if draft.problem() is not None:
            await self._by_grammar(prompt, parameters, draft)
        return draft

    async def _by_grammar(
        self, prompt: Sequence[int], parameters: Mapping[str, Any], draft: Draft
    ) -> None:
        """All arguments at once under the whole schema, for rules that span several of them: as it
        stands, or else with every argument there is."""
        named = [*parameters.get("required", ()), *parameters.get("properties", {})]
        everything = {**parameters, "required": list(dict.fromkeys(named))}
        everything.pop("minProperties", None)
        options: dict[str, Any] = {"coerce_one_of": True, "lenient": True}
        problem: str | None = None
        for wanted in (parameters, everything):
            whole = shortened(closed(wanted, is_root=True))
            grammar = grammar_of([f"start: {json_rule({**whole, 'x-guidance': options})}"])
            try:
                text = await self._work.generate(prompt, grammar, _ARGUMENTS_TOKENS)
            except GrammarRejected as error:
                problem = error.message
                continue
            problem = value_problem(parameters, text)
            if problem is None:
                values: dict[str, Any] = json.loads(text)
                draft.filled = {
                    name: Filled(value, "schema", grounding=0.0) for name, value in values.items()
                }
                return
        raise GenerationFailed(f"The model found no arguments that fit the schema: {problem}")


class _Form:
    """The slots of one object: the arguments themselves, or an object among them. ``opening`` is
    the text of the arguments before it."""

    def __init__(
        self,
        work: Work,
        prompt: Sequence[int],
        schema: Mapping[str, Any],
        sheet: Sheet,
        opening: str,
    ) -> None:
        self._work = work
        self._prompt = prompt
        self._sheet = sheet
        self._opening = opening
        self._definitions = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
        self._slots: dict[str, Mapping[str, Any]] = {
            name: simplified(child) for name, child in schema.get("properties", {}).items()
        }
        # An object that says nothing of what it requires is hardly meant to be empty.
        wanted = schema.get("required", () if not opening else self._slots)
        self._required = {name for name in self._slots if name in wanted}
        self._filled: dict[str, Filled] = {}

    async def fill(self) -> dict[str, Filled]:
        wanted = [name for name in self._slots if name in self._required]
        optional = [name for name in self._slots if name not in self._required]
        for name in wanted:
            self._settle(name)
        await self._deal_numbers()
        await self._deal_texts([name for name in wanted if name not in self._filled])
        for name in wanted:
            if name not in self._filled:
                await self._write(name)
        for name in optional:
            if name not in self._filled:
                await self._offer(name)
        return self._filled

    def _settle(self, name: str) -> None:
        settled = self._sheet.settled(name, self._slots[name], required=name in self._required)
        if settled is not None:
            self._put(name, settled)

    def _put(self, name: str, filled: Filled) -> None:
        self._filled[name] = filled
        self._sheet.take(filled)

    async def _deal_numbers(self) -> None:
        """Each number of the question to the slot that it most likely belongs to."""
        slots = [name for name, schema in self._slots.items() if is_number(schema)]
        required = [name for name in slots if name in self._required]
        places: dict[Span, int] = {}
        offers: dict[str, dict[int, Choice]] = {}
        # Of several groups of numbers, one for each of several calls, the first is this call's.
        records = self._sheet.question.number_records(len(required))
        others = {number.span for record in records[1:] for number in record}
        for name in slots:
            offers[name] = {}
            for choice in self._sheet.numbers(self._slots[name]):
                if choice.filled.places[0] in others:
                    continue
                place = places.setdefault(choice.filled.places[0], len(places))
                offers[name][place] = choice
        if len(required) == 1 and len(slots) == 1 and len(offers[slots[0]]) == 1:
            self._put(slots[0], next(iter(offers[slots[0]].values())).filled)
            return
        for names, is_bound in ((required, True), ([n for n in slots if n not in required], False)):
            await self._assign(names, offers, len(places), is_bound=is_bound)

    async def _assign(
        self,
        names: Sequence[str],
        offers: Mapping[str, Mapping[int, Choice]],
        count: int,
        *,
        is_bound: bool,
    ) -> None:
        worth: list[list[float | None]] = []
        for rank, name in enumerate(names):
            free = {
                p: c for p, c in offers[name].items() if self._sheet.is_free(c.filled.places[0])
            }
            row: list[float | None] = [None] * count
            likely = await self._likelihoods(name, list(free.values()))
            for (place, choice), model in zip(free.items(), likely, strict=True):
                cue = self._sheet.number_cue(name, self._slots[name], choice.filled.places[0])
                if not is_bound and not self._may_offer(name, cue, choice):
                    continue
                # In the order of the slots, or the first ones if there are more than are needed.
                there = place / max(1, count - 1)
                order = there if count > len(names) else abs(rank / max(1, len(names) - 1) - there)
                row[place] = _CUE_WEIGHT * cue + model - _ORDER_WEIGHT * order
            worth.append(row)
        for index, place in best_assignment(worth):
            self._put(names[index], offers[names[index]][place].filled)

    def _may_offer(self, name: str, cue: float, choice: Choice) -> bool:
        """An optional number needs a reason: the words beside it, or that it is left over."""
        if cue >= _OPTIONAL_NUMBER_CUE:
            return True
        is_sure = not choice.is_loose and cue >= 0
        return is_sure and (counts(name) or not states_default(self._slots[name]))

    async def _likelihoods(self, name: str, choices: Sequence[Choice]) -> list[float]:
        if len(choices) < 2:
            return [0.0] * len(choices)
        texts = [_dump(choice.filled.value) for choice in choices]
        found = await self._work.rank(self._prompt, self._key(name), texts)
        best = max(found)
        return [max(value - best, -_MOST_DISLIKE) for value in found]

    async def _deal_texts(self, names: Sequence[str]) -> None:
        """Phrases of the question to the slots that copy them, no word to two of them."""
        offers: list[tuple[str, list[tuple[float, Filled]]]] = []
        for name in names:
            choices = self._texts(name)
            if choices:
                offers.append((name, await self._rated(name, choices)))
        for name, filled in zip(
            (name for name, _ in offers), apart([rated for _, rated in offers]), strict=True
        ):
            if filled is not None:
                self._put(name, filled)

    def _texts(self, name: str) -> list[Choice]:
        """Phrases that may fill a slot; none where the model had better write the text itself."""
        schema = self._slots[name]
        if schema.get("type") != "string" or not is_copyable(schema):
            return []
        choices = self._sheet.texts(name, schema)
        quotes = self._sheet.question.quotations
        is_quoted = any(choice.filled.places[0] in quotes for choice in choices)
        if not choices or choices[0].bonus < 0 or (is_free_text(name) and not is_quoted):
            return []
        return choices

    async def _rated(self, name: str, choices: Sequence[Choice]) -> list[tuple[float, Filled]]:
        """Choices with their worth: the model's log-probability and what else speaks for them."""
        scores = [0.0]
        if len(choices) > 1:
            texts = [_dump(choice.filled.value) for choice in choices]
            scores = await self._work.rank(self._prompt, self._key(name), texts)
        late = self._sheet.lateness
        return [
            (score + choice.bonus + late(choice.filled.places[0]), choice.filled)
            for score, choice in zip(scores, choices, strict=True)
        ]

    async def _offer(self, name: str) -> None:
        """An optional argument, if the question gives a reason for it."""
        schema = self._slots[name]
        if is_number(schema):
            return
        if self._sheet.has_reason(name, schema):
            self._settle(name)
            if name not in self._filled and self._is_worth_writing(name):
                await self._write(name)
            return
        if schema.get("type") == "array":
            self._settle(name)
            return
        if schema.get("type") == "string" and is_copyable(schema):
            led = [c for c in self._sheet.texts(name, schema) if c.bonus >= _LED_NAME]
            if led:
                self._put(name, await self._choose(name, led))
                return
        if not self._required and not self._filled:
            # Nothing is required and nothing found: a name in the question is meant for someone.
            choices = [c for c in self._sheet.texts(name, schema) if c.bonus >= 1.0]
            if schema.get("type") == "string" and is_copyable(schema) and choices:
                self._put(name, await self._choose(name, choices))

    def _is_worth_writing(self, name: str) -> bool:
        """There is something to copy, and it is not one of a few options, none of them named."""
        schema = self._slots[name]
        if schema.get("type") != "string" or not is_copyable(schema):
            return True
        return bool(self._texts(name)) and len(options(schema)) < 2

    async def _write(self, name: str) -> None:
        schema = self._slots[name]
        if is_record(schema):
            inner = _Form(
                self._work,
                self._prompt,
                {**schema, **self._definitions},
                self._sheet,
                self._key(name) + " ",
            )
            filled = await inner.fill()
            value = {key: filled[key].value for key in schema["properties"] if key in filled}
            places = tuple(place for part in filled.values() for place in part.places)
            told = [f.grounding for f in filled.values() if f.grounding is not None]
            grounding = sum(told) / len(told) if told else 0.0
            self._filled[name] = Filled(value, "object", places, grounding)
            return
        choices = self._texts(name)
        if choices:
            self._put(name, await self._choose(name, choices))
            return
        items = simplified(schema.get("items", {}))
        if schema.get("type") == "array" and items.get("type") == "string" and is_copyable(items):
            choices = [c for c in self._sheet.texts(name, items) if fits([c.filled.value], schema)]
            if choices and choices[0].bonus >= 0:
                one = await self._choose(name, choices)
                self._put(name, replace(one, value=[one.value]))
                return
        await self._decode(name, schema)

    async def _choose(self, name: str, choices: Sequence[Choice]) -> Filled:
        rated = await self._rated(name, choices)
        return max(rated, key=lambda pair: pair[0])[1]

    async def _decode(self, name: str, schema: Mapping[str, Any]) -> None:
        """Written by the model: with words of the question, or else anything the schema allows."""
        copies = is_free_text(name) or schema.get("type") != "string"
        whole = {**schema, **self._definitions}
        written = written_rule(schema, self._sheet, self._definitions)
        anything = slot_rule(schema, self._definitions)
        ways = [(written, "words of the question"), (anything, "schema")]
        for grammar, evidence in ways if copies else ways[1:]:
            text = await self._work.decode(self._prompt, self._key(name), grammar)
            if text is not None and value_problem(whole, text) is None:
                value = _tidied(json.loads(text), schema)
                places = self._places_of(value)
                if not places:
                    evidence = "schema"
                grounding = _COPIED_GROUNDING if evidence != "schema" else 0.0
                self._put(name, Filled(value, evidence, places, grounding))
                return
            if written == anything:
                return

    def _places_of(self, value: Any) -> tuple[Span, ...]:
        """Where the texts and numbers of a value stand in the question."""
        if isinstance(value, list | dict):
            parts = value.values() if isinstance(value, dict) else value
            return tuple(place for part in parts for place in self._places_of(part))
        if isinstance(value, bool) or value is None or value == "":
            return ()
        place = mentions(self._sheet.question.text, value)
        return () if place is None else (place,)

    def _key(self, name: str) -> str:
        """The arguments so far in order, and the key of ``name``."""
        said = {key: self._filled[key].value for key in self._slots if key in self._filled}
        written = _dump(said)[:-1] + (", " if said else "")
        return f"{self._opening}{written}{_dump(name)}:"


def _tidied(value: Any, schema: Mapping[str, Any]) -> Any:
    """Copied texts without the punctuation at their end, copied lists without repetitions."""
    if isinstance(value, str) and "enum" not in schema:
        tidy = value.strip().rstrip(",").strip()
        return tidy if value_problem(schema, _dump(tidy)) is None else value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        distinct = [item for index, item in enumerate(value) if item not in value[:index]]
        return distinct if value_problem(schema, _dump(distinct)) is None else value
    return value


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
