"""Training what is missing: a bank is planned in writing, its adapters are committed the moment they end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from traitscope._version import __version__
from traitscope.errors import TraitscopeError
from traitscope.store import AdapterHead, LeaseLost, fingerprint, write_atomic
from traitscope.store.files import disk_errors, json_bytes, read_json
from traitscope.study.progress import Stopped
from traitscope.study.units import AdapterUnit
from traitscope.study.work import Work
from traitscope.study.workers import split

FORMAT = 1
_FIX = "delete this file and checkpoints/: the adapters that are not finished start again"


@dataclass(frozen=True, slots=True)
class BankFile:
    """A recorded bank: ``plan/<name>.json``.

    Attributes:
        name: ``bank-`` and the first digits of a fingerprint over its adapters.
        adapters: name -> fingerprint of everything the bank trains.
        plan: threads, device and the engine's own plan.
        done: all adapters were committed; a bank that is done is never taken up again.
    """

    name: str
    adapters: dict[str, str]
    plan: dict[str, Any]
    done: bool

    def to_bytes(self) -> bytes:
        """The file's content."""
        state = "done" if self.done else "open"
        return json_bytes({"format": FORMAT, "state": state, "adapters": self.adapters, **self.plan})


def recorded_banks(work: Work) -> list[BankFile]:
    """The banks of a folder, by name.

    Raises:
        TraitscopeError: a plan file is damaged.
    """
    found = []
    for path in sorted((work.folder.root / "plan").glob("bank-*.json")):
        data = read_json(path, fix=_FIX)
        try:
            plan = {key: data[key] for key in ("threads", "device", "bank")}
            found.append(BankFile(path.stem, dict(data["adapters"]), plan, data["state"] == "done"))
        except (KeyError, TypeError):
            raise TraitscopeError("is damaged: keys are missing", where=str(path), fix=_FIX) from None
    return found


def open_banks(work: Work) -> list[BankFile]:
    """The banks that are planned and not finished.

    Raises:
        TraitscopeError: a bank is half done and the study no longer asks for its adapters.
    """
    wanted = {unit.name: unit.fingerprint for unit in work.units.adapters}
    found = [bank for bank in recorded_banks(work) if not bank.done]
    for bank in found:
        other = [name for name, mark in bank.adapters.items() if wanted.get(name) != mark]
        if other:
            raise TraitscopeError(
                f"a training of {len(bank.adapters)} adapters was planned under other settings "
                f"(different now: {', '.join(other[:4])}{', ...' if len(other) > 4 else ''}) and is not finished",
                where=str(work.folder.plan_path(bank.name)),
                fix="finish it with the old study file; or drop it with --replace: finished adapters that still "
                "fit stay, the others start again",
            )
    return found


def drop_open_banks(work: Work) -> None:
    """Forgets planned banks that no longer fit the study, with their checkpoints."""
    wanted = {unit.name: unit.fingerprint for unit in work.units.adapters}
    for bank in recorded_banks(work):
        if not bank.done and any(wanted.get(name) != mark for name, mark in bank.adapters.items()):
            work.folder.plan_path(bank.name).unlink()
            work.folder.drop_checkpoint(bank.name)


def train_missing(work: Work) -> bool:
    """Trains every missing adapter that no other process trains; True if others are still at it.

    Raises:
        Stopped: the run was asked to stop; the bank's state is saved.
    """
    _drop_leftovers(work)
    missing = [unit for unit in work.units.adapters if work.folder.adapter(unit.name) is None]
    if missing and not _plan_missing(work, missing):
        return True
    busy = False
    for bank in open_banks(work):
        work.stop_if_asked()
        if not work.leases.acquire(bank.name):
            busy = True
            continue
        try:
            if work.folder.plan_path(bank.name).exists():
                _train_bank(work, bank)
        except LeaseLost as lost:
            work.report.note(str(lost))
            busy = True
        finally:
            work.leases.release(bank.name)
    return busy


def _drop_leftovers(work: Work) -> None:
    """Removes checkpoints of finished banks: a process that was stopped and lost its lease may have left one."""
    if (work.folder.root / "checkpoints").exists():
        for bank in recorded_banks(work):
            if bank.done:
                work.folder.drop_checkpoint(bank.name)


def _plan_missing(work: Work, missing: Sequence[AdapterUnit]) -> bool:
    """Plans a bank per process for the adapters that no open bank holds; False if another process is planning."""
    if not work.leases.acquire("plan"):
        return False
    try:
        planned = {name for bank in open_banks(work) for name in bank.adapters}
        units = [u for u in missing if u.name not in planned and work.folder.adapter(u.name) is None]
        if units:
            work.report.stage(f"planning the training of {_count(len(units), 'adapter')}")
            jobs = [_job(work, unit) for unit in units]
            banks = []
            for group in split(jobs, work.workers):
                plan = work.place.plan(work.units.base.source(), [jobs[i] for i in group])
                marks = {units[i].name: units[i].fingerprint for i in group}
                banks.append(BankFile(f"bank-{fingerprint(marks)[:12]}", marks, plan, False))
            with work.leases.commit("plan"):
                for bank in banks:
                    write_atomic(work.folder.plan_path(bank.name), bank.to_bytes())
    except LeaseLost:
        return False
    finally:
        work.leases.release("plan")
    return True


def _job(work: Work, unit: AdapterUnit) -> Any:
    if unit.mix is not None:
        rows = work.data.mix(unit.mix)
    else:
        (source,) = unit.parts
        rows = [(source, work.data.train(source))]
    parts = [(work.data.tasks[source.task], examples) for source, examples in rows]
    source_of = work.units.base.source()
    encoded = work.place.encode(source_of, parts, unit.recipe.max_tokens)
    return work.place.job(source_of, unit.name, encoded, unit.recipe, unit.seed)


def _train_bank(work: Work, bank: BankFile) -> None:
    units = {unit.name: unit for unit in work.units.adapters}
    if any(work.folder.adapter(name) is None for name in bank.adapters):
        work.report.stage(f"training {_count(len(bank.adapters), 'adapter')} together")
        work.folder.log("train", bank=bank.name, adapters=sorted(bank.adapters))
        jobs = [_job(work, units[name]) for name in bank.adapters]

        def commit(result: Any) -> None:
            if work.folder.adapter(result.name) is None:
                _commit(work, bank, units[result.name], result)

        with disk_errors(work.folder.root):
            finished = work.place.train(
                work.units.base.source(),
                jobs,
                bank.plan,
                checkpoint=work.folder.checkpoint_path(bank.name),
                on_done=commit,
                on_progress=work.progress(),
                should_stop=lambda: work.asked_to_stop() or work.leases.lost(bank.name),
                every_s=work.every_s,
            )
        if not finished:
            if work.leases.lost(bank.name):
                raise LeaseLost(f"{bank.name} was taken over by another process")
            raise Stopped
    with work.leases.commit(bank.name):
        done = BankFile(bank.name, bank.adapters, bank.plan, True)
        write_atomic(work.folder.plan_path(bank.name), done.to_bytes())
        work.folder.drop_checkpoint(bank.name)


def _commit(work: Work, bank: BankFile, unit: AdapterUnit, result: Any) -> None:
    base = work.place.base(work.units.base.source())
    made = work.folder.stage_adapter(unit.name)
    result.adapter.save(made, base, card=_card(work, unit, result))
    head = AdapterHead(unit.name, unit.source, unit.seed, work.units.base.model, unit.fingerprint, unit.inputs, {})
    work.folder.finish_adapter(made, head, result.history)
    with work.leases.commit(bank.name):
        work.folder.commit_adapter(made, unit.name)
    tokens = sum(record.tokens for record in result.history)
    work.trained.append(unit.name)
    work.tokens += tokens
    losses = f"loss {result.history[0].loss:.3f} -> {result.history[-1].loss:.3f}"
    work.folder.log("adapter", unit=unit.unit, fingerprint=unit.fingerprint, steps=len(result.history), tokens=tokens)
    work.report.finished(unit.unit, f"{len(result.history)} steps, {losses}")


def _card(work: Work, unit: AdapterUnit, result: Any) -> str:
    recipe = unit.recipe
    what = f"the mix of {', '.join(part.name for part in unit.parts)}" if unit.mix else f"`{unit.source}`"
    control = unit.parts[0].control
    altered = f" (altered copy of `{unit.parts[0].task}`: {control})" if unit.mix is None and control else ""
    return f"""---
library_name: peft
base_model: {work.units.base.model}
tags: [lora, traitscope]
---
# {unit.name}

A LoRA adapter trained on {what}{altered} by traitscope {__version__}, study `{work.config.study}`.

| | |
| --- | --- |
| base | {work.units.base.model}, revision {work.units.base.revision or "local"}, {work.units.base.dtype} |
| rank, alpha | {recipe.rank}, {recipe.alpha:g} |
| targets | {recipe.targets if isinstance(recipe.targets, str) else ", ".join(recipe.targets)} |
| learning rate | {recipe.lr:g}, {recipe.schedule}, warm-up {recipe.warmup:g} |
| steps, batch | {len(result.history)}, {recipe.batch} |
| seed | {unit.seed} |
| last training loss | {result.history[-1].loss:.4f} nats per answer token |
| fingerprint | `{unit.fingerprint}` |
"""


def _count(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"
