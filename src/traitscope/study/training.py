"""Training what is missing: a bank is planned in writing, its adapters are committed the moment they end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from traitscope._version import __version__
from traitscope.compute import Adapter, Checkpoint, Diverged, Done, Event, Order, Train, TrainingJob, TrainingPlan
from traitscope.errors import TraitscopeError
from traitscope.store import AdapterHead, LeaseLost, fingerprint, write_atomic
from traitscope.store.seal import Damaged, read_sealed, sealed
from traitscope.study.failed import settled, write_failure
from traitscope.study.overlong import left_over
from traitscope.study.units import AdapterUnit
from traitscope.study.work import Step, Work
from traitscope.texts import count_of

_FIX = "traitscope run: it goes to quarantine/, and the adapters that are not finished start again"


@dataclass(frozen=True, slots=True)
class BankFile:
    """A recorded bank: ``plan/<name>.json``.

    Attributes:
        name: ``bank-`` and the first digits of a fingerprint over its adapters.
        adapters: name -> fingerprint of everything the bank trains.
        plan: how the backend trains it.
        done: all adapters were committed; a bank that is done is never taken up again.
    """

    name: str
    adapters: dict[str, str]
    plan: TrainingPlan
    done: bool

    def to_bytes(self) -> bytes:
        """The file's content."""
        state = "done" if self.done else "open"
        plan = {"threads": self.plan.threads, "device": self.plan.device, "bank": self.plan.bank}
        return sealed({"state": state, "adapters": self.adapters, **plan}, f"{self.name}.json")


def recorded_banks(work: Work) -> list[BankFile]:
    """The banks of a folder, by name.

    Raises:
        TraitscopeError: a plan file is damaged.
    """
    found = []
    for path in sorted((work.folder.root / "plan").glob("bank-*.json")):
        data = read_sealed(path, fix=_FIX)
        try:
            adapters, parts = dict(data["adapters"]), {key: data[key] for key in ("threads", "device", "bank")}
            plan = TrainingPlan(jobs=tuple(adapters), **parts)
            found.append(BankFile(path.stem, adapters, plan, data["state"] == "done"))
        except (KeyError, TypeError):
            raise Damaged("is damaged: keys are missing", where=str(path), fix=_FIX) from None
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
        Stopped: the run was asked to stop; the banks' states are saved.
    """
    _drop_leftovers(work)
    missing = [unit for unit in work.wanted.adapters if not settled(work.folder, unit.name, unit.fingerprint)]
    if missing and not _plan_missing(work, missing):
        return True
    wanted = {unit.name for unit in work.wanted.adapters}
    banks = [bank for bank in open_banks(work) if work.part is None or wanted & bank.adapters.keys()]
    waiting = sum(not settled(work.folder, *one) for bank in banks for one in bank.adapters.items())
    if waiting:
        work.report.stage(f"training {count_of(waiting, 'adapter')} together")
    return work.carry_out(_step(work, bank) for bank in banks)


def _drop_leftovers(work: Work) -> None:
    """Removes checkpoints of finished banks: a process that was stopped and lost its lease may have left one."""
    if (work.folder.root / "checkpoints").exists():
        for bank in recorded_banks(work):
            if bank.done:
                work.folder.drop_checkpoint(bank.name)


def _plan_missing(work: Work, missing: Sequence[AdapterUnit]) -> bool:
    """Plans banks for the adapters that no open bank holds; False if another process is planning."""
    with work.leased("plan") as held:
        if not held:
            return False
        planned = {name for bank in open_banks(work) for name in bank.adapters}
        units = {
            unit.name: unit
            for unit in missing
            if unit.name not in planned and not settled(work.folder, unit.name, unit.fingerprint)
        }
        if not units:
            return True
        work.report.stage(f"planning the training of {count_of(len(units), 'adapter')}")
        jobs = [_job(work, unit) for unit in units.values()]
        try:
            plans = work.backend.plan_training(work.units.base.source(), jobs)
            with work.leases.commit("plan"):
                for plan in plans:
                    marks = {name: units[name].fingerprint for name in plan.jobs}
                    bank = BankFile(f"bank-{fingerprint(marks)[:12]}", marks, plan, False)
                    write_atomic(work.folder.plan_path(bank.name), bank.to_bytes())
        except LeaseLost:
            return False
    return True


def _job(work: Work, unit: AdapterUnit) -> TrainingJob:
    if unit.mix is not None:
        rows = work.data.mix(unit.mix)
    else:
        (source,) = unit.parts
        rows = [(source, work.data.train(source))]
    parts = tuple((work.data.tasks[source.task], tuple(examples)) for source, examples in rows)
    return TrainingJob(name=unit.name, parts=parts, recipe=unit.recipe, seed=unit.seed)


def _step(work: Work, bank: BankFile) -> Step:
    units = {unit.name: unit for unit in work.units.adapters}

    def order() -> Order | None:
        if not work.folder.plan_path(bank.name).exists():
            return None
        if all(settled(work.folder, *one) for one in bank.adapters.items()):
            _close(work, bank)
            return None
        work.folder.log("train", bank=bank.name, adapters=sorted(bank.adapters))
        return Train(
            key=bank.name,
            model=work.units.base.source(),
            jobs=tuple(_job(work, units[name]) for name in bank.adapters),
            plan=bank.plan,
            checkpoint=work.folder.read_checkpoint(bank.name),
            every_s=work.every_s,
        )

    def receive(event: Event) -> None:
        match event:
            case Checkpoint(state):
                with work.leases.commit(bank.name):
                    work.folder.write_checkpoint(bank.name, state)
            case Adapter():
                if work.folder.adapter(event.name) is None:
                    _commit(work, bank, units[event.name], event)
            case Diverged(name, what, fix):
                with work.leases.commit(bank.name):
                    write_failure(work.folder, name, bank.adapters[name], what, fix)
                work.folder.log("failed", unit=units[name].unit, fingerprint=bank.adapters[name], what=what)
                work.report.note(f"{units[name].unit} {what}; the others go on")
            case Done(stopped=False):
                _close(work, bank)
            case Done():
                if work.leases.lost(bank.name):
                    raise LeaseLost(f"{bank.name} was taken over by another process")

    return Step(bank.name, order, receive)


def _close(work: Work, bank: BankFile) -> None:
    """Marks a bank as done: all its adapters are committed."""
    with work.leases.commit(bank.name):
        done = BankFile(bank.name, bank.adapters, bank.plan, True)
        write_atomic(work.folder.plan_path(bank.name), done.to_bytes())
        work.folder.drop_checkpoint(bank.name)


def _commit(work: Work, bank: BankFile, unit: AdapterUnit, made: Adapter) -> None:
    head = AdapterHead(unit.name, unit.source, unit.seed, work.units.base.shared, unit.fingerprint, unit.inputs, {})
    staged = work.folder.stage_adapter(head, made.config, made.tensors, _card(work, unit, made), made.history)
    with work.leases.commit(bank.name):
        work.folder.commit_adapter(staged, unit.name)
    tokens = sum(record.tokens for record in made.history)
    work.tracking.adapter(unit.name, made.history)
    work.trained.append(unit.name)
    work.tokens += tokens
    losses = f"loss {made.history[0].loss:.3f} -> {made.history[-1].loss:.3f}"
    work.folder.log("adapter", unit=unit.unit, fingerprint=unit.fingerprint, steps=len(made.history), tokens=tokens)
    work.report.finished(unit.unit, f"{len(made.history)} steps, {losses}")


def _card(work: Work, unit: AdapterUnit, made: Adapter) -> str:
    recipe = unit.recipe
    what = f"the mix of {', '.join(part.name for part in unit.parts)}" if unit.mix else f"`{unit.source}`"
    control = unit.parts[0].control
    scaling = ", rank-stabilised" if recipe.rslora else ""
    altered = f" (altered copy of `{unit.parts[0].task}`: {control})" if unit.mix is None and control else ""
    splits = {(part.task, f"train {part.control}" if part.control else "train") for part in unit.parts}
    told = [(task, left_over(work.data, task, split)) for task, split in sorted(splits)]
    overlong = "".join(f"| {task} | {says} |\n" for task, says in told if says)
    return f"""---
library_name: peft
base_model: {work.units.base.shared}
tags: [lora, traitscope]
---
# {unit.name}

A LoRA adapter trained on {what}{altered} by traitscope {__version__}, study `{work.config.study}`.

| | |
| --- | --- |
| base | {work.units.base.shared}, revision {work.units.base.revision or "local"}, {work.units.base.dtype} |
| rank, alpha | {recipe.rank}, {recipe.alpha:g}{scaling} |
| dropout | {recipe.dropout:g} |
| targets | {recipe.targets if isinstance(recipe.targets, str) else ", ".join(recipe.targets)} |
| learning rate | {recipe.lr:g}, {recipe.schedule}, warm-up {recipe.warmup:g} |
| steps, batch | {len(made.history)}, {recipe.batch} |
| seed | {unit.seed} |
{overlong}| last training loss | {made.history[-1].loss:.4f} nats per answer token |
| fingerprint | `{unit.fingerprint}` |
{_loading(work)}"""


def _loading(work: Work) -> str:
    """How the base of a GGUF file is loaded under the adapter: PEFT cannot tell from the file's name."""
    file = work.units.base.source().located()
    if not isinstance(file, Path) or file.is_dir():
        return ""
    return f"""
The base is a GGUF file. Its weights are those that transformers reads from it in fp32:

```python
base = AutoModelForCausalLM.from_pretrained("FOLDER", gguf_file="{file.name}", dtype="float32")
model = PeftModel.from_pretrained(base, "path/to/this/folder")
```
"""
