"""What of a study goes to the Hub: adapters, a belt and the score matrix, as files without a place of this machine."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from traitscope.config.yamlfile import parse_yaml
from traitscope.errors import TraitscopeError
from traitscope.registry import did_you_mean
from traitscope.store.adapters import CARD, CONFIG, WEIGHTS
from traitscope.store.fingerprints import hash_file
from traitscope.store.hub import is_hub_id
from traitscope.store.hub_upload import TAG, Compared, Parcel, Upload, compare, logged_in, refuse_no_login, send
from traitscope.store.models import BUILT_IN, shared_name
from traitscope.study import analysis
from traitscope.study.belt_file import FILE, ROUTER, read_belt
from traitscope.study.context import Context
from traitscope.study.exporting import shared_adapter
from traitscope.study.push_cards import Score, adapter_card, hub_base, hub_datasets, plain_card, scores_card, scores_of
from traitscope.study.push_places import Seen, refuse_places, refuse_secrets, seen_places
from traitscope.study.sharing import without_places
from traitscope.study.units import adapter_names

PARTS = ("adapters", "scores")


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """What a push sends, or has sent.

    Attributes:
        account: the account of the user's token; None where nobody is logged in.
        repositories: every repository beside what the Hub has of it.
        places: texts that look like absolute paths, for the user to judge.
        sent: ids of those that anything was sent to; None where it was only looked at.
    """

    account: str | None
    repositories: tuple[Compared, ...]
    places: tuple[Seen, ...]
    sent: tuple[str, ...] | None = None


def plan_push(
    study: Context,
    to: str,
    *,
    parts: Sequence[str] = PARTS,
    models: Sequence[str] | None = None,
    belt: Path | None = None,
    one_repo: bool = False,
    licence: str | None = None,
) -> tuple[Parcel, ...]:
    """The repositories of a study and their files; nobody is asked.

    Args:
        study: a filled one.
        to: ``org/name``, the beginning of every repository's id.
        parts: ``adapters``, ``scores`` or both.
        models: adapters or sources; by default all that were trained.
        belt: a folder that ``traitscope belt --out`` wrote.
        one_repo: all adapters in one repository, each in a folder of its own.
        licence: of all that is sent, as the Hub names licences.

    Raises:
        TraitscopeError: there is nothing to send, a name cannot be, a file is damaged, or a text holds a token or
            names a place of this machine.
    """
    if to.count("/") != 1 or not all(to.split("/")):
        raise TraitscopeError(f"{to!r} is no name on the Hub", where="--to", fix="write --to org/name")
    found: list[Parcel] = []
    if "adapters" in parts:
        found += _adapters(study, to, models, one_repo, licence)
    if belt is not None:
        found.append(_belt(study, to, belt, licence))
    if "scores" in parts:
        found.append(_scores(study, to, licence))
    for parcel in found:
        _check_name(parcel.id)
    refuse_secrets(study, found)
    return tuple(found)


def push(
    study: Context,
    parcels: Sequence[Parcel],
    *,
    public: bool = False,
    allow_paths: bool = False,
    dry_run: bool = True,
    message: str = TAG,
) -> Push:
    """Looks at what the Hub has of these repositories and, unless ``dry_run``, sends what is new or changed.

    All are looked at before anything is sent. A push that was cut off goes on where it was when it is made again.

    Args:
        study: whose reporter is told. parcels: as ``plan_push`` gives them.
        public: everybody is to see new repositories. allow_paths: texts that look like absolute paths may go.
        dry_run: nothing is made or sent. message: of the commits.

    Raises:
        TraitscopeError: a text looks like an absolute path, nobody is logged in, the name is taken, the right to write
            is missing, the Hub is lost.
    """
    places = seen_places(parcels)
    if not dry_run and not allow_paths:
        refuse_places(places)
    account = logged_in() if dry_run else refuse_no_login()
    looked = tuple(compare(parcel, public=public) for parcel in parcels)
    if dry_run:
        return Push(account=account, repositories=looked, places=places)
    sent: list[str] = []
    for done, one in enumerate(looked):
        try:
            if send(one, public=public, message=message, report=study.report_to.stage):
                sent.append(one.parcel.id)
        except TraitscopeError as error:
            what = f"{error.what} ({done} of {len(looked)} repositories are up to date)"
            raise TraitscopeError(what, where=error.where, fix=error.fix) from error
    return Push(account=account, repositories=looked, places=places, sent=tuple(sent))


def score_table(study: Context) -> pd.DataFrame:
    """The long table of a study's scores, all metrics, with role and relation of every cell.

    Raises:
        TraitscopeError: no cell is there yet.
    """
    scores = analysis.scores(study)
    table, roles = scores.to_long(), dict(zip(scores.models, scores.roles_I, strict=True))
    relations = (roles[model].relation(task) for model, task in zip(table["model"], table["task"], strict=True))
    return table.assign(role=[roles[model].kind for model in table["model"]], relation=list(relations))


def _adapters(
    study: Context, to: str, models: Sequence[str] | None, one_repo: bool, licence: str | None
) -> list[Parcel]:
    names = _chosen(study, models)
    # Adapters may be trained alone.
    table = None if study.score_table().empty else score_table(study)
    packed = {name: _adapter(study, name, [] if table is None else scores_of(table, name), licence) for name in names}
    if not one_repo:
        return [
            Parcel(
                id=f"{to}-{name}",
                kind="model",
                what=f"adapter {name}",
                commits=((f"adapter {name}", files),),
                card=_text(files, CARD),
            )
            for name, files in packed.items()
        ]
    base, tasks = hub_base(study), [*study.config.tasks]
    rows = "".join(f"| [`{name}`]({name}) | `subfolder: {name}` |\n" for name in names)
    card = plain_card(
        f"Adapters of the study {study.config.study}",
        f"One LoRA adapter in each folder, for {base[0] if base else study.base_name}.\n\n"
        f"| adapter | in a study file |\n| --- | --- |\n{rows}",
        base_model=base[0] if base else None,
        base_model_relation="adapter" if base else None,
        license=licence,
        datasets=hub_datasets(study, tasks),
        tags=["lora", TAG],
    )
    head = (Upload(path=CARD, content=card.encode()),)
    # The card goes first: by it a push that was cut off knows its own repository.
    commits: list[tuple[str, tuple[Upload, ...]]] = [("card", head)]
    commits += [
        (f"adapter {name}", tuple(Upload(path=f"{name}/{file.path}", content=file.content) for file in files))
        for name, files in packed.items()
    ]
    what = f"{len(names)} adapters, each in a folder of its own"
    return [Parcel(id=f"{to}-adapters", kind="model", what=what, commits=tuple(commits), card=card)]


def _chosen(study: Context, models: Sequence[str] | None) -> list[str]:
    known = adapter_names(study.config)
    there = [head.name for head in study.folder.adapters() if head.name in known]
    if not there:
        raise TraitscopeError(
            "no adapter has been trained yet", where=str(study.folder.root), fix="traitscope run trains them"
        )
    if models is None:
        return [name for name in known if name in there]
    for wanted in models:
        if not any(wanted in (name, known[name][0]) for name in there):
            names = [*there, *dict.fromkeys(known[name][0] for name in there)]
            raise TraitscopeError(
                f"no trained adapter is called {wanted!r}", where="--models", fix=did_you_mean(wanted, names)
            )
    return [name for name in known if name in there and (name in models or known[name][0] in models)]


def _adapter(study: Context, name: str, scores: Sequence[Score], licence: str | None) -> tuple[Upload, ...]:
    folder, head = study.folder.adapter_path(name), study.folder.adapter(name)
    assert head is not None, "it is among those that are there"
    for file in (WEIGHTS, CONFIG):
        if not (folder / file).is_file() or hash_file(folder / file) not in (head.files.get(file), None):
            raise TraitscopeError(
                f"its {file} is not what was written", where=f"adapter {name}", fix="see `traitscope verify`"
            )
    config, body = shared_adapter(folder, None if hub_base(study) else _public_base(study))
    card = adapter_card(study, name, without_places(body, study.config), scores, licence)
    return (
        Upload(path=CARD, content=card.encode()),
        Upload(path=CONFIG, content=(json.dumps(config, indent=2, sort_keys=True) + "\n").encode()),
        Upload(path=WEIGHTS, content=folder / WEIGHTS),
    )


def _public_base(study: Context) -> str:
    """The name of a base that lies on this machine, without its path; built-in names stay."""
    return study.config.base.model if study.config.base.model in BUILT_IN else shared_name(study.config.base.model)


def _belt(study: Context, to: str, folder: Path, licence: str | None) -> Parcel:
    belt = read_belt(folder)
    base = belt["base"]
    on_hub = not base["local"] and "/" in base["model"]
    text = (folder / CARD).read_text(encoding="utf-8") if (folder / CARD).is_file() else ""
    card = plain_card(
        "",
        text,
        base_model=base["model"] if on_hub else None,
        base_model_relation="adapter" if on_hub else None,
        license=licence,
        tags=["lora", "tool-belt", TAG],
    )
    files = [Upload(path=CARD, content=card.encode()), Upload(path=FILE, content=folder / FILE)]
    if belt["router"] is not None:
        files.append(Upload(path=ROUTER, content=folder / ROUTER))
    for name, adapter in belt["adapters"].items():
        for file, digest in adapter["files"].items():
            path = folder / adapter["folder"] / file
            if not path.is_file() or hash_file(path) != digest:
                raise TraitscopeError(
                    f"{file} of {name} is damaged, or another file", where=str(folder), fix="export the belt again"
                )
        place = adapter["folder"]
        there = [*adapter["files"], *([CARD] if (folder / place / CARD).is_file() else [])]
        files += [Upload(path=f"{place}/{file}", content=folder / place / file) for file in there]
    what = f"belt of {len(belt['adapters'])} adapters"
    return Parcel(id=f"{to}-belt", kind="model", what=what, commits=((what, tuple(files)),), card=card)


def _scores(study: Context, to: str, licence: str | None) -> Parcel:
    from traitscope.report.tables import csv_text

    table = score_table(study)
    held = io.BytesIO()
    table.to_parquet(held, index=False)
    card = scores_card(study, table, licence)
    # As data: comments are notes to oneself.
    said = parse_yaml(study.folder.study_file.read_text(encoding="utf-8"), "study.yaml")[0]
    study_text = yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=120)
    lock = (study.folder.root / "lock.json").read_text(encoding="utf-8")
    files = (
        Upload(path=CARD, content=card.encode()),
        Upload(path="scores.csv", content=csv_text(table, index=False).encode()),
        Upload(path="scores.parquet", content=held.getvalue()),
        Upload(path="study.yaml", content=without_places(study_text, study.config, study.recorded_config()).encode()),
        Upload(path="lock.json", content=without_places(lock, study.config).encode()),
    )
    what = f"score matrix, {len(table)} lines"
    return Parcel(id=f"{to}-scores", kind="dataset", what=what, commits=((what, files),), card=card)


def _check_name(name: str) -> None:
    if not is_hub_id(name):
        raise TraitscopeError(
            f"{name} is no name on the Hub: letters, digits, '-', '_' and '.' alone, and at most 96 in each part",
            where="--to",
            fix="shorten it, or take other signs; with --one-repo the adapters' names are folders",
        )


def _text(files: Sequence[Upload], path: str) -> str:
    found = next(file.content for file in files if file.path == path)
    assert isinstance(found, bytes)
    return found.decode()
