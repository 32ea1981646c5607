"""Answers that are programs: put together with their tests, run apart, and told by what became of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from traitscope.config.code import CodeConfig
from traitscope.errors import TraitscopeError
from traitscope.records import Example, ExampleRecord
from traitscope.sandbox import VERSION, Limits, Program, run_programs
from traitscope.store.fingerprints import fingerprint
from traitscope.tasks.parsers import parse

if TYPE_CHECKING:
    from traitscope.tasks.task import Task

UNREAD = "no code"
"""The outcome of an answer in which the parser finds no code."""

OnRun = Callable[[int, int], None]


def code_of(task: Task) -> CodeConfig | None:
    """How the task's answers are run; None where they are no programs."""
    generate = task.config.answer.generate
    return None if generate is None else generate.code


def programs_of(task: Task, example: Example, outputs: Sequence[str]) -> list[Program | None]:
    """Every answer between what stands before it and its tests; None where the parser finds no code."""
    generate = task.config.answer.generate
    assert generate is not None and example.program is not None
    before, tests = example.program
    found = [parse(generate.parse, text, generate.classes, f"task {task.name}") for text in outputs]
    return [None if code is None else Program(before + code + "\n", tests) for code in found]


def judge_code(
    task: Task,
    examples: Sequence[Example],
    records: Sequence[ExampleRecord],
    *,
    allow_code: bool,
    on_run: OnRun | None = None,
) -> list[ExampleRecord]:
    """The records with ``outcomes`` and ``ran``; only programs that were not run as they are now are run.

    Args:
        examples: those of the records, in their order.
        allow_code: whether programs may be run at all.
        on_run: told how many of how many programs have ended.

    Raises:
        TraitscopeError: programs would have to be run, and may not be, or cannot be kept apart here.
    """
    code = code_of(task)
    assert code is not None
    limits = Limits(timeout_s=code.timeout_s, memory_mb=code.memory_mb)
    made = [
        programs_of(task, example, record.outputs or (record.output or "",))
        for example, record in zip(examples, records, strict=True)
    ]
    marks = [_mark(programs, limits) for programs in made]
    due = [i for i, (record, mark) in enumerate(zip(records, marks, strict=True)) if record.ran != mark]
    wanted = [program for i in due for program in made[i] if program is not None]
    if wanted and not allow_code:
        raise not_allowed([task.name], task.where("answer", "generate", "code"))
    became = dict(zip(wanted, run_programs(wanted, limits, on_done=on_run), strict=True))
    fresh = list(records)
    for i in due:
        outcomes = tuple(UNREAD if program is None else became[program] for program in made[i])
        fresh[i] = replace(records[i], outcomes=outcomes, ran=marks[i])
    return fresh


def not_allowed(tasks: Sequence[str], where: str) -> TraitscopeError:
    """The error where generated programs would be run and nobody said that they may."""
    names = ", ".join(tasks)
    return TraitscopeError(
        f"to judge {names} the programs that models write must be run",
        where=where,
        fix="allow it with --allow-code (in Python: Study.open(..., allow_code=True)); docs/code.md says how they are "
        "kept apart; or leave them out with --tasks",
    )


def reference_outcomes(task: Task, examples: Sequence[Example], *, on_run: OnRun | None = None) -> dict[str, str]:
    """What becomes of every example's first reference: a right answer that fails says that the task is set up wrongly.

    Programs are run: ask only where that was allowed.

    Returns:
        The outcome by the example's id.
    """
    code = code_of(task)
    assert code is not None
    programs = [programs_of(task, example, example.references[:1])[0] for example in examples]
    limits = Limits(timeout_s=code.timeout_s, memory_mb=code.memory_mb)
    wanted = [program for program in programs if program is not None]
    became = dict(zip(wanted, run_programs(wanted, limits, on_done=on_run), strict=True))
    return {
        example.id: UNREAD if program is None else became[program]
        for example, program in zip(examples, programs, strict=True)
    }


def _mark(programs: Sequence[Program | None], limits: Limits) -> str:
    texts = [None if program is None else [program.solution, program.tests] for program in programs]
    return fingerprint([VERSION, limits.timeout_s, limits.memory_mb, texts])
