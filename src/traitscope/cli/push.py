"""``traitscope push``: adapters, a belt and the score matrix to the Hub, looked at before anything is sent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from traitscope.cli.common import (
    DEFAULT_STUDY,
    JsonOption,
    ModelsOption,
    OutOption,
    StudyArgument,
    friendly,
    open_study,
    refuse_unused,
    split_names,
)
from traitscope.cli.completion import words
from traitscope.cli.output import say, say_json
from traitscope.errors import TraitscopeError
from traitscope.texts import count_of, shown, table_text

if TYPE_CHECKING:
    from traitscope.store.hub_upload import Compared
    from traitscope.study.pushing import Push

# Files of one repository that are told one by one.
_FILES = 12


@friendly
def push(
    study: StudyArgument = DEFAULT_STUDY,
    to: Annotated[str, typer.Option(help="org/name: how the ids of all repositories begin.", show_default=False)] = "",
    what: Annotated[
        list[str] | None,
        typer.Option(
            help="adapters, scores; may be repeated, or with commas. [default: both]",
            autocompletion=words("adapters", "scores"),
        ),
    ] = None,
    models: ModelsOption = None,
    belt: Annotated[
        Path | None, typer.Option(help="A belt too: the folder that `traitscope belt --out` wrote.")
    ] = None,
    one_repo: Annotated[
        bool, typer.Option("--one-repo", help="All adapters in one repository, a folder each.")
    ] = False,
    licence: Annotated[
        str | None, typer.Option("--license", help="Of what is sent, as the Hub names licences: apache-2.0.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Everybody is to see it. [default: you and org]")] = False,
    allow_paths: Annotated[
        bool, typer.Option("--allow-paths", help="Send texts that look like absolute paths: others may read them.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run/--no-dry-run", help="Show what would be sent, and send nothing.")
    ] = True,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Send it: the same as --no-dry-run.")] = False,
    message: Annotated[str, typer.Option("--message", "-m", help="Beginning of the commits' titles.")] = "traitscope",
    out: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Send adapters, belt and score matrix to the Hugging Face Hub; without --yes it only shows what would be sent.

    Every adapter goes to a repository of its own, org/name-<adapter>, the belt to org/name-belt, the matrix to the
    dataset org/name-scores. They are private unless --public is given. The same command again sends what changed.
    """
    from traitscope.store.hub import online
    from traitscope.study.pushing import PARTS, plan_push
    from traitscope.study.pushing import push as push_parcels

    if not to:
        raise TraitscopeError("nothing says where to", where="--to", fix="write --to org/name")
    parts = split_names(what, "--what") or list(PARTS)
    if unknown := [part for part in parts if part not in PARTS]:
        raise TraitscopeError(f"there is no part {unknown[0]!r}", where="--what", fix=f"write {' or '.join(PARTS)}")
    no_adapters = "adapters" not in parts
    refuse_unused(
        [(models and no_adapters, "--models"), (one_repo and no_adapters, "--one-repo")],
        "is for adapters, which --what leaves out",
    )
    refuse_unused([(not message.strip(), "--message")], "is empty")
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        raise TraitscopeError("HF_HUB_OFFLINE is set", where="push", fix="unset it: what is sent goes over the network")
    opened, reporter = open_study(study, out, quiet=json)
    if not opened.folder.exists():
        raise TraitscopeError(
            "there is nothing to send yet", where=str(opened.folder.root), fix="traitscope run fills the folder"
        )
    parcels = plan_push(
        opened,
        to,
        parts=parts,
        models=split_names(models, "--models"),
        belt=belt,
        one_repo=one_repo,
        licence=licence,
    )
    with online(), reporter:  # type: ignore[attr-defined]
        found = push_parcels(
            opened,
            parcels,
            public=public,
            allow_paths=allow_paths,
            dry_run=dry_run and not yes,
            message=message.strip(),
        )
    if json:
        say_json(_json(found))
    else:
        _show(found, public, allow_paths)


def _show(found: Push, public: bool, allow_paths: bool) -> None:
    for one in found.repositories:
        say(f"{one.parcel.kind} {one.parcel.id}  {one.parcel.what}; {_state(one, public)}", bold=True)
        rows = [(one.changes[file.path], f"{file.size:,} B", file.path) for file in one.parcel.files]
        more = len(rows) - _FILES
        say(table_text(rows[:_FILES], right=(1,), indent="  "))
        if more > 0:
            say(f"  and {count_of(more, 'file')} more (--json has all)")
        if one.others:
            say(f"  left as they are: {', '.join(one.others[:_FILES])}")
    if found.sent is None:
        sorts = set()
        for one in found.repositories:
            sort = one.parcel.what.split()[0]
            if sort not in sorts:
                sorts.add(sort)
                say(f"\nREADME.md of {one.parcel.id}", bold=True)
                say(one.parcel.card, wrap=False)
    size = sum(one.size for one in found.repositories)
    changed = sum(change != "same" for one in found.repositories for change in one.changes.values())
    repositories = count_of(len(found.repositories), "repository", "repositories")
    files = f"{count_of(changed, 'file')} of {size:,} bytes in {repositories}"
    if found.sent is not None:
        say(f"sent: {files}" if found.sent else "nothing has changed since the last push", err=True)
        return
    if found.account is None:
        say("note: nobody is logged in, so private repositories that are there already count as new", err=True)
    if found.places and not allow_paths:
        say("\nlooks like a place of a machine; --yes refuses it without --allow-paths", bold=True)
        for place in found.places[:_FILES]:
            say(f"  {place.where}: {shown(place.text)}")
        if (hidden := len(found.places) - _FILES) > 0:
            say(f"  and {hidden} more (--json has all)")
    who = f" as {found.account}" if found.account else ""
    say(f"would be sent{who}: {files}; nothing was sent. --yes sends it", err=True)


def _state(one: Compared, public: bool) -> str:
    if not one.exists:
        return f"new, {'public' if public else 'private'}"
    return "there, private" if one.private else "there, public"


def _json(found: Push) -> dict[str, Any]:
    return {
        "account": found.account,
        "places": [{"where": one.where, "text": one.text} for one in found.places],
        "sent": None if found.sent is None else list(found.sent),
        "repositories": [
            {
                "id": one.parcel.id,
                "kind": one.parcel.kind,
                "what": one.parcel.what,
                "exists": one.exists,
                "private": one.private,
                "bytes": one.size,
                "files": [
                    {"path": file.path, "size": file.size, "change": one.changes[file.path]}
                    for file in one.parcel.files
                ],
                "others": list(one.others),
                "card": one.parcel.card,
            }
            for one in found.repositories
        ],
    }
