"""From a row to an example: prompt, options, gold, references, solved examples in front."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from traitscope.config.task import TaskConfig
from traitscope.config.template import evaluate, render, whole
from traitscope.errors import TraitscopeError
from traitscope.metrics.numbers import final_number, reads_part
from traitscope.records import Example
from traitscope.tasks.parsers import cut_at_stop, parse

Row = dict[str, Any]
Turns = tuple[tuple[str, str], ...]
PickShots = Callable[[str], Sequence[tuple[str, Row]]]


class Renderer:
    """Renders one task's rows. ``where`` gives the place of a key in the study file."""

    def __init__(self, config: TaskConfig, where: Callable[..., str]) -> None:
        self._config = config
        self._where = where

    def question(self, row_id: str, row: Row) -> str:
        """What a row asks; ``asks`` is equal for rows that must not stand on both sides of a split.

        The prompt without solved examples, with the options where they come from the row; the text itself for
        the loss form and for a constant prompt.
        """
        turns, prompt = self._prompt(row_id, row)
        parts = [prompt.strip(), *(content for _, content in turns)]
        answer = self._config.answer
        if answer.loss is not None:
            parts.append(render(answer.loss, row, where=self._at(row_id, "answer", "loss")).strip())
        elif isinstance(answer.choice, str):
            parts.extend(self._options(row_id, row))
        return "\x1f".join(parts)

    def asks(self, row_id: str, row: Row) -> str:
        """The same for questions that differ only in white space, letter case or how a character is encoded."""
        return " ".join(unicodedata.normalize("NFKC", self.question(row_id, row)).casefold().split())

    def example(self, row_id: str, row: Row, shots: PickShots, *, tested: bool = True) -> Example:
        """The rendered row with its solved examples in front, and with the tests of its answer where it is ``tested``.

        Raises:
            TraitscopeError: if a template fails, the prompt or the answer is empty, or gold is not among the options.
        """
        options: tuple[str, ...] | None = None
        gold: int | None = None
        references: tuple[str, ...] = ()
        answer = self._config.answer
        if answer.choice is not None:
            options = self._options(row_id, row)
            gold = self._gold(row_id, row, options)
            text = options[gold]
        elif answer.generate is not None:
            references = self._references(row_id, row)
            text = references[0]
        else:
            assert answer.loss is not None
            text = render(answer.loss, row, where=self._at(row_id, "answer", "loss"))
            if not text.strip():
                raise TraitscopeError(
                    "the text whose loss is measured is empty",
                    where=self._at(row_id, "answer", "loss"),
                    fix="drop such rows with data.where",
                )
        turns, prompt = self._with_shots(row_id, row, shots)
        tags = {
            name: render(template, row, where=self._at(row_id, "row_tags", name)).strip()
            for name, template in self._config.row_tags.items()
        }
        program = self._program(row_id, row) if tested else None
        return Example(row_id, prompt, text, options, gold, references, tags, turns, program=program)

    def _program(self, row_id: str, row: Row) -> tuple[str, str] | None:
        generate = self._config.answer.generate
        if generate is None or generate.code is None:
            return None
        where = self._at(row_id, "answer", "generate", "code", "tests")
        tests = render(generate.code.tests, row, where=where)
        if not tests.strip():
            raise TraitscopeError(
                "the tests are empty: every program would pass them",
                where=where,
                fix="correct the template, or drop such rows with data.where",
            )
        before = self._at(row_id, "answer", "generate", "code", "before")
        return render(generate.code.before, row, where=before), tests

    def _at(self, row_id: str, *keys: str | int) -> str:
        return f"{self._where(*keys)}, row {row_id}"

    def _prompt(self, row_id: str, row: Row) -> tuple[Turns, str]:
        config = self._config
        if config.messages is not None:
            turns = []
            for i, m in enumerate(config.messages):
                where = self._at(row_id, "messages", i, "content")
                turns.append((m.role, self._not_empty(render(m.content, row, where=where), where)))
            return tuple(turns), ""
        template = config.prompt or ""
        where = self._at(row_id, "prompt")
        text = render(template, row, where=where)
        if template.strip():
            self._not_empty(text, where)
        return ((("user", text),), "") if config.uses_chat else ((), text)

    def _not_empty(self, text: str, where: str) -> str:
        if not text.strip():
            raise TraitscopeError(
                "the prompt is empty",
                where=where,
                fix="correct the template, or drop such rows with data.where",
            )
        return text

    def _with_shots(self, row_id: str, row: Row, shots: PickShots) -> tuple[Turns, str]:
        turns, prompt = self._prompt(row_id, row)
        solved = [(self._prompt(i, r), self.answer(i, r)) for i, r in shots(row_id)]
        if not turns:
            separator = self._config.shots.separator
            return (), "".join(p + a + separator for (_, p), a in solved) + prompt
        # The system turn stands once, in front of the solved examples.
        system = tuple(t for t in turns if t[0] == "system")
        middle: Turns = ()
        for (shot_turns, _), answer in solved:
            middle += (*(t for t in shot_turns if t[0] != "system"), ("assistant", answer.strip()))
        all_turns = system + middle + tuple(t for t in turns if t[0] != "system")
        return all_turns, "\n\n".join(content for _, content in all_turns)

    def answer(self, row_id: str, row: Row) -> str:
        """The text that solves a row."""
        form = self._config.answer
        if form.choice is not None:
            options = self._options(row_id, row)
            return options[self._gold(row_id, row, options)]
        if form.generate is not None:
            return self._references(row_id, row)[0]
        assert form.loss is not None
        return render(form.loss, row, where=self._at(row_id, "answer", "loss"))

    def _options(self, row_id: str, row: Row) -> tuple[str, ...]:
        choice = self._config.answer.choice
        where = self._at(row_id, "answer", "choice")
        if isinstance(choice, tuple):
            return tuple(whole(option, where) for option in choice)
        assert choice is not None
        value = evaluate(choice, row, where=where)
        if not isinstance(value, list):
            raise TraitscopeError(
                f"the options are {value!r}, not a list",
                where=where,
                fix='the template must be one expression that gives a list, such as "{{ options }}" or '
                "\"{{ [a, b] | prefix(' ') }}\"",
            )
        options = tuple(str(o) for o in value)
        bare = [o.strip() for o in options]
        if len(options) < 2 or "" in bare:
            raise TraitscopeError(
                f"the row has {'an empty option' if '' in bare else 'fewer than two options'}: {list(options)}",
                where=where,
                fix="drop such rows with data.where, or correct the template",
            )
        return options

    def _gold(self, row_id: str, row: Row, options: tuple[str, ...]) -> int:
        answer = self._config.answer
        where = self._at(row_id, "answer", "gold")
        value = evaluate(str(answer.gold), row, where=where)
        if isinstance(value, list):
            raise TraitscopeError(
                f"gold is a list: {value!r}", where=where, fix="pick one item, such as {{ answers[0] }}"
            )
        text = str(value)
        if answer.labels is not None:
            key = text if text in answer.labels else text.strip()
            if key not in answer.labels:
                raise TraitscopeError(
                    f"{text!r} is not among the labels ({', '.join(answer.labels)})",
                    where=where,
                    fix="add it to answer.labels, or drop such rows with data.where "
                    f'(for example where: "label != {text!r}")',
                )
            found = _as_text(answer.labels[key], options)
            if found is None:
                raise TraitscopeError(
                    f"the label {key!r} leads to {answer.labels[key]!r}, no option of this row",
                    where=where,
                    fix="correct answer.labels",
                )
            return found
        by_text = _as_text(text, options) if answer.gold_is != "index" else None
        by_index = _as_index(value, len(options)) if answer.gold_is != "text" else None
        if by_text is not None and by_index is not None and by_text != by_index:
            raise TraitscopeError(
                f"gold {text!r} is the text of option {by_text} and the index of option {by_index}",
                where=where,
                fix="add gold_is: text or gold_is: index to answer",
            )
        found = by_text if by_text is not None else by_index
        if found is None:
            shown = ", ".join(repr(o) for o in options[:8]) + (", ..." if len(options) > 8 else "")
            raise TraitscopeError(
                f"gold {text!r} is neither an option ({shown}) nor an index from 0 to {len(options) - 1}",
                where=where,
                fix="map it with answer.labels: {"
                + f"{text.strip()}: {options[0]!r}"
                + ", ...}, or drop such rows with data.where",
            )
        return found

    def _references(self, row_id: str, row: Row) -> tuple[str, ...]:
        generate = self._config.answer.generate
        assert generate is not None
        where = self._at(row_id, "answer", "generate", "gold")
        found: list[str] = []
        for template in generate.gold:
            value = evaluate(template, row, where=where)
            found.extend(map(str, value)) if isinstance(value, list) else found.append(str(value))
        found = list(dict.fromkeys(found))
        if not found or any(not f.strip() for f in found):
            raise TraitscopeError(
                "a right answer is empty" if found else "there is no right answer",
                where=where,
                fix="drop such rows with data.where, or correct the template",
            )
        answers = [parse(generate.parse, text, generate.classes, where) for text in found]
        unread = next((text for text, answer in zip(found, answers, strict=True) if answer is None), None)
        if unread is not None:
            raise TraitscopeError(
                f"the parser {generate.parse!r} finds nothing in the right answer {unread!r}",
                where=where,
                fix="choose another parser (answer.generate.parse), or drop such rows with data.where",
            )
        if generate.classes is not None and answers[0] not in generate.classes:
            raise TraitscopeError(
                f"the right answer {found[0]!r} reads as {answers[0]!r}, which is no class",
                where=where,
                fix="add it to generate.classes, or use parse: label",
            )
        for text, answer in zip(found, answers, strict=True):
            self._check_reading(text, str(answer), where)
        if "number_match" in self._config.metric_names and not any(final_number(str(a)) for a in answers):
            raise TraitscopeError(
                f"the metric number_match finds no number in the right answer {answers[0]!r}",
                where=where,
                fix="use exact_match, or drop such rows with data.where",
            )
        return tuple(found)

    def _check_reading(self, text: str, answer: str, where: str) -> None:
        """Refuses a right answer that nobody could give: read as less than it says, or ended by a stop text."""
        generate = self._config.answer.generate
        assert generate is not None
        numeric = generate.parse == "final_number"
        if (numeric or "number_match" in self._config.metric_names) and reads_part(text):
            raise TraitscopeError(
                f"of the right answer {_shown(text)} only {final_number(text)} is read",
                where=where,
                fix=f"{'choose parse: raw' if numeric else 'use exact_match'}, let the template give the one number "
                "that is meant, or drop such rows with data.where",
            )
        reached = cut_at_stop(text, generate.stop)
        lost = text[len(reached) :]
        stop = next((stop for stop in generate.stop if lost.startswith(stop)), "")
        # What ends with the stop text is whole: the right answer is cut as a generated one is.
        cut = parse(generate.parse, reached, generate.classes, where)
        if cut is None or (cut != answer and lost[len(stop) :].strip()):
            raise TraitscopeError(
                f"the right answer {_shown(text)} holds the stop string {stop!r}, at which every model's answer ends",
                where=where,
                fix="choose another stop (answer.generate.stop), cut the answer in its template "
                "({{ answer.split('\\n\\n')[0] }}), or drop such rows with data.where",
            )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:40] + "..." + text[-17:])


def _as_text(text: str, options: tuple[str, ...]) -> int | None:
    if text in options:
        return options.index(text)
    bare = [o.strip() for o in options]
    return bare.index(text.strip()) if text.strip() in bare else None


def _as_index(value: Any, n: int) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    return int(text) if text.isdecimal() and int(text) < n else None
