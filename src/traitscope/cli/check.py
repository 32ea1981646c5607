"""``traitscope check``: whether a study will run, and what it will cost."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from traitscope.cli.common import (
    DEFAULT_STUDY,
    AllowCodeOption,
    BaseOption,
    JsonOption,
    OutOption,
    SetOption,
    StudyArgument,
    friendly,
    open_study,
)
from traitscope.cli.output import say, say_json
from traitscope.errors import TraitscopeError
from traitscope.texts import count_of

if TYPE_CHECKING:
    from traitscope.study import Study
    from traitscope.tasks.task import Task

_CHANGED = 10


@friendly
def check(
    study: StudyArgument = DEFAULT_STUDY,
    out: OutOption = None,
    prompts: Annotated[bool, typer.Option(help="Show one rendered prompt per task.")] = True,
    base: BaseOption = None,
    changes: SetOption = None,
    allow_code: AllowCodeOption = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask nobody: what lies on the Hub alone is named, and not looked at.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Validate a study: load its rows, show one prompt per task, what is missing and what it costs.

    No GPU is used and no weights are loaded. With `--allow-code` the right answers of tasks that are judged by tests
    are run: they should pass. Exit status 0: all is in order. 2: something is not, or could not be looked at, since
    the Hub does not answer; what the study file says is validated even then, and told. With `--offline` what is on this
    disk is validated, and the rest is no failure. Prompts are shown for the first of several base models.
    """
    from traitscope.study import BasesStudy

    if offline:
        from traitscope.store.hub import ask_nobody

        ask_nobody()
    valid: list[Study] = []
    try:
        opened, _ = open_study(
            study, out, quiet=True, changes=changes, bases=base, allow_code=allow_code, opened_as=valid.append
        )
    except TraitscopeError as error:
        if not valid or not _offline():
            raise
        raise _with_what_is_known(error, valid[0]) from None
    found, failed, parts = dict[str, Any](), dict[str, TraitscopeError](), opened.by_base()
    owner = opened.check_folder() if isinstance(opened, BasesStudy) else None
    for name, part in parts.items():
        if isinstance(opened, BasesStudy):
            part = opened.as_it_lies(part, owner)
        if len(parts) > 1 and not json:
            say(f"base {name}", bold=True)
        try:
            lacking = _not_here(part) if offline else []
            found[name] = _told(part, lacking, json) if lacking else _check(part, prompts and not found, json)
        except TraitscopeError as error:
            failed[name] = error
    if failed:
        raise opened.failure(failed, "in order") if isinstance(opened, BasesStudy) else failed.popitem()[1]
    if json and opened.inner and not offline:
        say_json({**opened.plan(cost=True).to_json(), "bases": found})
    elif json:
        say_json({"bases": found} if opened.inner else next(iter(found.values())))


def _check(study: Study, prompts: bool, json: bool) -> dict[str, Any]:
    """Checks the study on one base model, and says what is seen unless JSON is wanted; gives what JSON has."""
    from traitscope.cli.hub import moved_on, settled
    from traitscope.study.checking import check_models, check_places, check_rest

    try:
        base = check_models(study)
        tokenizer = study.data.readers[0].tokenizer
    except TraitscopeError as error:
        if not _offline():
            raise
        raise _with_what_is_known(error, study) from None
    notes = list(_tokenizer_notes(tokenizer))
    if not settled(study):
        notes += moved_on(study)
    tasks = {}
    for note in () if json else notes:
        say(f"note: {note}")
    for name in study.data.tasks:
        # What is wrong with the rows is told below, of all tasks together.
        with suppress(TraitscopeError):
            found = tasks[name] = _task(study, name)
            if not json:
                _show(name, found, prompts)
    check_rest(study, base)
    _check_answers(study, tasks, json)
    plan = study.plan(cost=True)
    if not plan.complete:
        check_places(study)
    if not json:
        say(plan)
        for unit, reason in list(plan.state.changed.items())[:_CHANGED]:
            say(f"  changed   {unit}: {reason}")
    return {"notes": notes, "tasks": tasks, **plan.to_json()}


def _not_here(study: Study) -> list[str]:
    """What a study names and nobody has seen, since it is not on this disk; all else is validated."""
    from traitscope.cli.hub import unseen
    from traitscope.study.checking import check_here

    lacking = check_here(study)
    told = [str(one) for one in lacking]
    names = [one for one in unseen(study.config) if one.startswith("model ") or any(one.split()[1] in t for t in told)]
    return names or list(dict.fromkeys(one.where or one.what for one in lacking))


def _told(study: Study, lacking: list[str], json: bool) -> dict[str, Any]:
    """Says what was validated and what was not looked at; gives what JSON has."""
    if not json:
        say(f"{_valid(study)}\nnot looked at, for it is not on this disk: {', '.join(lacking)}")
    return {"not_looked_at": lacking}


def _valid(study: Study) -> str:
    config = study.config
    trained = len(config.resolved_sources()) + len(config.mixes)
    sizes = ((len(config.tasks), "task"), (len(config.target_names()), "target"), (trained, "adapter"))
    return f"the study file is valid ({', '.join(count_of(*size) for size in sizes)})"


def _offline() -> bool:
    """Whether the Hub was not asked, or did not answer."""
    constants: Any = sys.modules.get("huggingface_hub.constants")
    return constants is not None and bool(constants.HF_HUB_OFFLINE)


def _with_what_is_known(error: TraitscopeError, study: Study) -> TraitscopeError:
    """The error of what the Hub did not give, with what was validated and what was not looked at."""
    from traitscope.cli.hub import unseen

    if not (names := unseen(study.config)):
        return error
    told = f"{error.what}; {_valid(study)}, but not looked at: {', '.join(names)}"
    return TraitscopeError(told, where=error.where, fix=f"{error.fix}; or check what is here alone, with --offline")


def _task(study: Study, name: str) -> dict[str, Any]:
    """What is to be seen of a task before anything runs."""
    from traitscope.cli.examples import example_text
    from traitscope.study.overlong import left_over

    data = study.data
    task, loaded, tokenizer = data.tasks[name], data.load(name), data.readers[0].tokenizer
    shown = next(iter((*loaded.train, *loaded.eval)), None)
    notes = _chat_notes(task, tokenizer)
    too_long = (left_over(data, name, split) for split in data.splits(name))
    return {
        "answers": task.form,
        "metrics": list(loaded.metrics or task.metric_names),
        "train": len(loaded.train),
        "eval": len(loaded.eval),
        "notes": [*loaded.report.notes, *notes, *filter(None, too_long)],
        "example": None if shown is None else example_text(task, shown, tokenizer),
    }


def _show(name: str, found: Mapping[str, Any], prompts: bool) -> None:
    counts = f"{found['train']} train, {found['eval']} eval rows"
    say(f"{name}  {found['answers']}, {', '.join(found['metrics'])}; {counts}", bold=True)
    for note in found["notes"]:
        say(f"  note: {note}")
    if prompts and found["example"] is not None:
        say(found["example"], wrap=False)


def _tokenizer_notes(tokenizer: Any) -> Iterator[str]:
    from traitscope.tasks.encode import added_behind

    behind = added_behind(tokenizer)
    if behind:
        tokens = " ".join(repr(token) for token in tokenizer.convert_ids_to_tokens(behind))
        yield f"the tokenizer puts {tokens} behind every text by itself: left out of prompts, options and answers"


def _chat_notes(task: Task, tokenizer: Any) -> Iterator[str]:
    from traitscope.tasks.chat import Chat

    if task.config.uses_chat and not Chat(task, tokenizer).writes_first_token():
        yield "the chat template does not write the tokenizer's first token, so chats have none"


def _check_answers(study: Study, tasks: Mapping[str, dict[str, Any]], json: bool) -> None:
    """Runs the right answers of tasks that are judged so, where that is allowed, and adds to their notes."""
    from traitscope.study.checking import Found

    problems = Found()
    for name, found in tasks.items():
        with problems.kept():
            for note in _code_notes(study, study.data.tasks[name]):
                found["notes"].append(note)
                if not json:
                    say(f"note: {name}: {note}")
    problems.raise_all(study.config.where())


def _code_notes(study: Study, task: Task) -> Iterator[str]:
    from traitscope.tasks.coding import code_of, reference_outcomes

    if code_of(task) is None:
        return
    if not study.allow_code:
        yield "judged by running what models write: run needs --allow-code"
        return
    from traitscope.sandbox import PASSED, find_isolation

    outcomes = reference_outcomes(task, study.data.load(task.name).eval)
    wrong = [f"{name} ({what})" for name, what in outcomes.items() if what != PASSED]
    more = f" and {len(wrong) - _CHANGED} more" if len(wrong) > _CHANGED else ""
    named = f"{', '.join(wrong[:_CHANGED])}{more}"
    if outcomes and len(wrong) == len(outcomes):
        raise TraitscopeError(
            f"none of the {len(wrong)} right answers passes its tests: {named}",
            where=task.where("answer", "generate", "code"),
            fix="correct the tests, what stands before the answer, its limits, or `gold`: no model could pass",
        )
    answers = count_of(len(outcomes), "right answer")
    passing = "passes its" if len(outcomes) - len(wrong) == 1 else "pass their"
    yield f"{len(outcomes) - len(wrong)} of {answers} {passing} tests (by {find_isolation().kind})"
    if wrong:
        yield f"right answers that do not: {named}"
