"""From a harness task's documents to examples, each with what the harness asks about it.

Requests are built once for all models: where prompts are turns of a chat, the turns are kept in place of the text that
one tokenizer's template makes of them.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from traitscope.config.lm_eval import LENGTHS, LmEvalConfig
from traitscope.errors import TraitscopeError
from traitscope.records import Example
from traitscope.tasks.harness.calls import Where, harness_call
from traitscope.tasks.harness.library import Loaded

# In front of turns that stand in the place of a rendered chat.
_TURNS = "\0turns "
# HFLM's own where a task sets none.
MAX_GEN_TOKS = 256
# The tag that says which task of a group a document belongs to.
SUBTASK = "task"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text, or turns of a chat whose template ends with the start of the assistant's turn (or goes on with it)."""

    text: str
    turns: tuple[tuple[str, str], ...] = ()
    opened: bool = True


class Request(NamedTuple):
    """One request of the harness.

    Attributes:
        kind: ``loglikelihood``, ``loglikelihood_rolling`` or ``generate_until``.
        prompt: what stands in front (empty for rolling).
        text: the continuation, or the whole text of a rolling one.
        until: texts that end an answer. max_tokens: its cut-off.
    """

    kind: str
    prompt: Prompt
    text: str
    until: tuple[str, ...] = ()
    max_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """What the harness asks about one document.

    Attributes:
        task: of the harness. doc: the document's number in it. repeats: how often each answer counts.
        requests: in the harness' order.
        reference: the right answer of a generated one, as the harness writes it behind its prompt; None where it
            names none.
    """

    task: str
    doc: int
    repeats: int
    requests: tuple[Request, ...]
    reference: str | None

    def to_json(self) -> str:
        """For an example; prompts that several requests share stand in it once."""
        prompts = list(dict.fromkeys(request.prompt for request in self.requests))
        return json.dumps(
            {
                "task": self.task,
                "doc": self.doc,
                "repeats": self.repeats,
                "prompts": [[p.text, p.turns, p.opened] for p in prompts],
                "requests": [[r.kind, prompts.index(r.prompt), r.text, r.until, r.max_tokens] for r in self.requests],
                "reference": self.reference,
            },
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> Asked:
        """What ``to_json`` gave."""
        data = json.loads(text)
        prompts = [
            Prompt(one, tuple((role, said) for role, said in turns), opened) for one, turns, opened in data["prompts"]
        ]
        requests = tuple(
            Request(kind, prompts[at], said, tuple(until), most) for kind, at, said, until, most in data["requests"]
        )
        return cls(data["task"], data["doc"], data["repeats"], requests, data["reference"])


@dataclass(frozen=True, slots=True)
class Documents:
    """A harness task's documents as examples, with a fingerprint of their content and of the task's configuration."""

    examples: tuple[Example, ...]
    fingerprint: str
    total: int
    metrics: tuple[str, ...]


def documents(loaded: Loaded, spec: LmEvalConfig, where: Where) -> Documents:
    """Examples of all documents: first the first one of every task, then the second ones, as far as the limit.

    So a cell of fewer rows has a part of every task of a group, and more rows only add at its end.

    Raises:
        TraitscopeError: the harness cannot build the requests, or they are of no kind that can be answered here.
    """
    made: list[tuple[int, int, Example]] = []
    for place, (name, task) in enumerate(loaded.tasks.items()):
        fix = "see the templates in the task's YAML, num_fewshot, and that its documents have the columns they name"
        try:
            with harness_call(f"ask about the documents of {name!r}", where, fix):
                asked = _instances(task, spec)
                _refuse_unjudged(name, task, asked)
                for doc, instances in asked.items():
                    one = _asked(name, doc, task, instances)
                    made.append((doc, place, _example(loaded, name, task, one, instances)))
        except TraitscopeError as error:
            raise TraitscopeError(error.what, where=error.where or where("task"), fix=error.fix) from error
    made.sort(key=lambda item: item[:2])
    examples = tuple(example for _, _, example in made)
    digest = hashlib.sha256(loaded.definition().encode())
    for example in examples:
        digest.update(example.requests.encode())
    total = sum(len(docs) for docs in loaded.docs.values())
    return Documents(examples, digest.hexdigest(), total, metric_names(loaded))


def metric_names(loaded: Loaded) -> tuple[str, ...]:
    """The metrics that the task declares, without their filters."""
    if loaded.group is not None:
        return tuple(dict.fromkeys(part.metric for part in loaded.group.aggregate_metric_list))
    (task,) = loaded.tasks.values()
    return tuple(task.aggregation())


def _instances(task: Any, spec: LmEvalConfig) -> dict[int, list[Any]]:
    """The harness' own requests by document."""
    task.set_fewshot_seed(seed=spec.fewshot_seed)
    task.build_all_requests(
        limit=spec.limit,
        rank=0,
        world_size=1,
        system_instruction=spec.system_instruction,
        apply_chat_template=spec.apply_chat_template,
        fewshot_as_multiturn=spec.fewshot_as_multiturn,
        chat_template=_kept_turns if spec.apply_chat_template else None,
    )
    found = defaultdict(list)
    for instance in task.instances:
        found[instance.doc_id].append(instance)
    for instances in found.values():
        instances.sort(key=lambda instance: instance.idx)
    return found


def _refuse_unjudged(name: str, task: Any, asked: Mapping[int, Sequence[Any]]) -> None:
    """Refuses a task whose metrics are none for what it asks, where the harness' own rules can tell before it is asked.

    Raises:
        TraitscopeError: it gives no metric.
    """
    from lm_eval.api.task import ConfigurableTask

    # What a process_results of the user's own makes of an invented answer says nothing.
    ours = type(task).process_results is ConfigurableTask.process_results and task.config.process_results is None
    if not asked or not ours:
        return
    instances = next(iter(asked.values()))
    answers = {"loglikelihood": (-1.0, False), "loglikelihood_rolling": -1.0, "generate_until": "x"}
    try:
        given = [answers[one.request_type] for one in instances]
        found = task.process_results(instances[0].doc, given)
    except Exception:
        return  # metrics that want another answer
    if not found:
        raise TraitscopeError(
            f"the task {name!r} has no metric for what it asks ({task.OUTPUT_TYPE}): "
            f"{', '.join(task.aggregation()) or 'its metric_list is empty'}",
            fix="name others in its metric_list",
        )


def _kept_turns(turns: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
    """Stands where the harness calls a tokenizer's chat template."""
    return _TURNS + json.dumps([[[turn["role"], turn["content"]] for turn in turns], add_generation_prompt])


def _prompt(text: str) -> Prompt:
    if not text.startswith(_TURNS):
        return Prompt(text)
    turns, opened = json.loads(text.removeprefix(_TURNS))
    return Prompt("\n".join(said for _, said in turns), tuple((role, said) for role, said in turns), opened)


def _asked(name: str, doc: int, task: Any, instances: Sequence[Any]) -> Asked:
    requests = tuple(_request(instance) for instance in instances)
    reference = None
    if requests[0].kind == "generate_until":
        target = _target(task, instances[0].doc)
        if target:
            config = task.get_config("target_delimiter")
            reference = f"{' ' if config is None else config}{target}"
    return Asked(name, doc, int(instances[0].repeats or 1), requests, reference)


def _request(instance: Any) -> Request:
    kind, arguments = instance.request_type, instance.args
    if kind == "loglikelihood":
        return Request(kind, _prompt(arguments[0]), str(arguments[1]))
    if kind == "loglikelihood_rolling":
        return Request(kind, Prompt(""), str(arguments[0]))
    if kind == "generate_until":
        until, most = generation_settings(arguments[1])
        return Request(kind, _prompt(arguments[0]), "", until, most)
    raise TraitscopeError(f"it makes requests of the kind {kind!r}", fix="take a task of another output_type")


def generation_settings(settings: Mapping[str, Any]) -> tuple[tuple[str, ...], int]:
    """Stop texts and cut-off of a request, read as lm-eval 0.4.13 reads them (``normalize_gen_kwargs``).

    Raises:
        TraitscopeError: a stop text is empty.
    """
    until = settings.get("until") or ()
    texts = (until,) if isinstance(until, str) else tuple(until)
    if any(not text for text in texts):
        raise TraitscopeError(
            "an empty text among until would end every answer at its first token",
            fix="write gen_kwargs: {until: [...]} without it",
        )
    given = [settings[key] for key in LENGTHS if settings.get(key) is not None]
    return texts, int(given[0]) if given else MAX_GEN_TOKS


def _example(loaded: Loaded, name: str, task: Any, asked: Asked, instances: Sequence[Any]) -> Example:
    group = loaded.group is not None
    tags = {SUBTASK: name} if group else {}
    first = asked.requests[0]
    label = f"{name}/{asked.doc}" if group else str(asked.doc)
    doc = instances[0].doc
    options: tuple[str, ...] | None = None
    gold: int | None = None
    references: tuple[str, ...] = ()
    if task.OUTPUT_TYPE == "multiple_choice":
        options = tuple(str(choice) for choice in task.doc_to_choice(doc))
        gold = _gold(task, doc, options)
        answer = "" if gold is None else options[gold]
    elif first.kind == "generate_until":
        answer = _target(task, doc)
        references = _references(task, doc)
    else:
        answer = first.text
    return Example(
        id=label,
        prompt=first.prompt.text,
        answer=answer,
        options=options,
        gold=gold,
        references=references,
        tags=tags,
        messages=first.prompt.turns,
        requests=asked.to_json(),
    )


def _gold(task: Any, doc: Any, options: Sequence[str]) -> int | None:
    """The right option's index, the first of several; None where the task names none of them."""
    found = task.doc_to_text(doc) if getattr(task, "multiple_input", 0) else task.doc_to_target(doc)
    if isinstance(found, list):
        found = found[0] if found else None
    if isinstance(found, str):
        return options.index(found) if found in options else None
    if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < len(options):
        return found
    return int(found) if isinstance(found, bool) and int(found) < len(options) else None


def _references(task: Any, doc: Any) -> tuple[str, ...]:
    try:
        found = task.doc_to_target(doc)
        if task.get_config("doc_to_choice") is not None and isinstance(found, int):
            found = task.doc_to_choice(doc)[found]
    except Exception:  # a task with a process_results of its own may have no target
        return ()
    texts = found if isinstance(found, list) else [found]
    return tuple(str(text) for text in texts if isinstance(text, str | int | float))


def _target(task: Any, doc: Any) -> str:
    """The first right answer as a text; empty where there is none."""
    return next(iter(_references(task, doc)), "")
