"""From a harness task's documents to examples, each with what the harness asks about it.

Requests are built once for all models: where prompts are turns of a chat, the turns are kept in place of the text that
one tokenizer's template makes of them.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NamedTuple

from traitscope.config.lm_eval import LENGTHS, LmEvalConfig
from traitscope.errors import TraitscopeError
from traitscope.records import Example
from traitscope.tasks.harness.calls import Where, harness_call
from traitscope.tasks.harness.library import Loaded
from traitscope.tasks.harness.metrics import metric_names, refuse_unjudged

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
                refuse_unjudged(loaded, name, task, asked, where)
                for doc, instances in asked.items():
                    one = _asked(loaded, name, doc, task, instances)
                    made.append((doc, place, _example(loaded, name, task, one)))
        except TraitscopeError as error:
            raise TraitscopeError(error.what, where=error.where or where("task"), fix=error.fix) from error
    made.sort(key=lambda item: item[:2])
    examples = tuple(example for _, _, example in made)
    digest = hashlib.sha256(loaded.definition().encode())
    for example in examples:
        digest.update(example.requests.encode())
    total = sum(len(docs) for docs in loaded.docs.values())
    return Documents(examples, digest.hexdigest(), total, metric_names(loaded))


def _instances(task: Any, spec: LmEvalConfig) -> dict[int, list[Any]]:
    """The harness' own requests by document."""
    task.set_fewshot_seed(seed=spec.fewshot_seed)
    try:
        task.build_all_requests(
            limit=spec.limit,
            rank=0,
            world_size=1,
            system_instruction=spec.system_instruction,
            apply_chat_template=spec.apply_chat_template,
            fewshot_as_multiturn=spec.fewshot_as_multiturn,
            chat_template=_kept_turns if spec.apply_chat_template else None,
        )
    except ValueError as error:
        # Of Python's random.sample, which names neither number.
        if "larger than population" not in str(error):
            raise
        raise TraitscopeError(
            f"num_fewshot asks for {task.get_config('num_fewshot')} solved examples, and there are "
            f"{len(task.sampler.fewshot_docs())} documents to choose them from",
            fix="lower num_fewshot",
        ) from error
    found = defaultdict(list)
    for instance in task.instances:
        found[instance.doc_id].append(instance)
    for instances in found.values():
        instances.sort(key=lambda instance: instance.idx)
    return found


def _kept_turns(turns: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
    """Stands where the harness calls a tokenizer's chat template."""
    return _TURNS + json.dumps([[[turn["role"], turn["content"]] for turn in turns], add_generation_prompt])


def _prompt(text: str) -> Prompt:
    if not text.startswith(_TURNS):
        return Prompt(text)
    turns, opened = json.loads(text.removeprefix(_TURNS))
    return Prompt("\n".join(said for _, said in turns), tuple((role, said) for role, said in turns), opened)


def _asked(loaded: Loaded, name: str, doc: int, task: Any, instances: Sequence[Any]) -> Asked:
    requests = tuple(_request(instance) for instance in instances)
    reference = None
    if requests[0].kind == "generate_until":
        target = _target(task, _doc(loaded, name, doc))
        if target:
            config = task.get_config("target_delimiter")
            reference = f"{' ' if config is None else config}{target}"
    return Asked(name, doc, int(instances[0].repeats or 1), requests, reference)


def _doc(loaded: Loaded, name: str, number: int) -> Any:
    """A document as its task has it: templates may change the one they are given, and the harness reads it anew."""
    return deepcopy(loaded.docs[name][number])


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
        TraitscopeError: a stop text is empty, or is no text.
    """
    until = settings.get("until") or ()
    texts = (until,) if isinstance(until, str) else tuple(until) if isinstance(until, list | tuple) else (until,)
    if any(not isinstance(text, str) for text in texts):
        raise TraitscopeError(
            f"until must be texts, not {until!r}", fix='write until: ["..."] in gen_kwargs or in generation_kwargs'
        )
    if any(not text for text in texts):
        raise TraitscopeError(
            "an empty text among until would end every answer at its first token",
            fix="write gen_kwargs: {until: [...]} without it",
        )
    given = [settings[key] for key in LENGTHS if settings.get(key) is not None]
    return texts, int(given[0]) if given else MAX_GEN_TOKS


def _example(loaded: Loaded, name: str, task: Any, asked: Asked) -> Example:
    group = loaded.group is not None
    tags = {SUBTASK: name} if group else {}
    first = asked.requests[0]
    label = f"{name}/{asked.doc}" if group else str(asked.doc)
    doc = _doc(loaded, name, asked.doc)
    options: tuple[str, ...] | None = None
    gold: int | None = None
    references: tuple[str, ...] = ()
    if task.OUTPUT_TYPE == "multiple_choice":
        options = tuple(str(choice) for choice in task.doc_to_choice(doc))
        gold = _gold(task, doc, options)
        answer = "" if gold is None else options[gold]
    elif first.kind == "generate_until":
        answer = _target(task, doc)
        references = _references(task, _doc(loaded, name, asked.doc))
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
