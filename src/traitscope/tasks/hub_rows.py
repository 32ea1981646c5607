"""Rows of datasets on the Hugging Face Hub, at one commit: the only reader of rows that uses the network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from traitscope.config.data import DataConfig
from traitscope.errors import TraitscopeError
from traitscope.registry import did_you_mean
from traitscope.store.hub_errors import NotOnThisDisk, address, hub_error, is_lost
from traitscope.store.hub_files import is_commit, look
from traitscope.tasks.columnar import short_floats, text_for_bytes
from traitscope.tasks.rows import ReadRows, rows_fingerprint

_QUOTED = re.compile(r"'([^']+)'")


def read_hub(
    data: DataConfig,
    split: str | None,
    where: str,
    files: Sequence[str] | None = None,
    *,
    commit: str | None = None,
) -> ReadRows:
    """The rows of one split, or of some files, of a Hugging Face Hub dataset.

    Args:
        data: names dataset, configuration and revision.
        split: the split.
        where: the place in the study file.
        files: of the repository, in place of a split.
        commit: the commit that the revision stood for when the study was begun; None: what it stands for now.

    Raises:
        TraitscopeError: the dataset, revision, configuration, split or files cannot be had.
    """
    import datasets

    name = str(data.hub)
    if split is None and files is None:
        raise TraitscopeError(
            "a Hub dataset needs its splits named",
            where=where,
            fix="add splits: {train: train, eval: test}, or splits: train to divide one",
        )
    silent: TraitscopeError | None = None
    try:
        commit = commit or _commit(data, where)
    except TraitscopeError as error:
        if not is_lost(error):
            raise
        silent = error
    try:
        at = commit or data.revision
        if files is None:
            loaded = datasets.load_dataset(name, data.subset, split=split, revision=at)
        else:
            # The card counts the rows of all files.
            rows_of = {"rows": list(files)}
            loaded = datasets.load_dataset(
                name, data_files=rows_of, split="rows", revision=at, verification_mode="no_checks"
            )
    except Exception as error:
        raise silent or _told(error, data, split or "", files, where) from None
    came = _came_from(loaded)
    wanted = commit or (data.revision if is_commit(data.revision) else None)
    if None not in (wanted, came) and came != wanted:
        # Without the Hub its library takes whatever of the dataset is on this disk.
        raise TraitscopeError(
            f"the Hub gives nothing of the dataset {name}, and this disk holds commit {came} of it, not {wanted}",
            where=where,
            fix="mend the network, or name a revision that is there",
        )
    rows = text_for_bytes(short_floats(list(loaded.to_list()), loaded.features.arrow_schema))
    return ReadRows(rows, rows_fingerprint(rows), came or commit)


def _commit(data: DataConfig, where: str) -> str | None:
    """What a dataset's revision stands for on the Hub; None where nobody is asked."""
    from huggingface_hub import HfApi, constants

    if constants.is_offline_mode():
        return None
    name = str(data.hub)
    found = look(name, data.revision, kind="dataset", where=where)
    if found.gated:
        try:
            HfApi().auth_check(name, repo_type="dataset")
        except Exception as error:
            raise hub_error(error, where, name, kind="dataset") from error
    return found.commit


def _came_from(loaded: Any) -> str | None:
    """The commit that a loaded dataset is of: its files lie in a folder of that name."""
    names = [Path(file["filename"]).parent.name for file in loaded.cache_files]
    return next((name for name in names if is_commit(name)), None)


def _told(error: Exception, data: DataConfig, split: str, files: Sequence[str] | None, where: str) -> TraitscopeError:
    """The error of ours for one of the ``datasets`` library."""
    from huggingface_hub import constants

    name, words = str(data.hub), str(error)
    # Where another file of the dataset is on this disk, its library looks there for one that the Hub does not have.
    missing = isinstance(error, FileNotFoundError) or "Couldn't find cache for" in words
    if files is not None and missing and not constants.is_offline_mode():
        return TraitscopeError(
            f"the Hub dataset {name} has no {' or no '.join(files)}",
            where=where,
            fix=f"look at {address(name, 'dataset')}, and name files as they stand in its repository",
        )
    named = words.split("Should be one of")[-1].split("Available:")[-1].split("available configs:")[-1]
    known = _QUOTED.findall(named.split("Example of usage")[0])
    if "Unknown split" in words:
        return TraitscopeError(
            f"the Hub dataset {name} has no split {split!r}",
            where=where,
            fix=did_you_mean(str(split).split("[")[0], known),
        )
    if "BuilderConfig" in words and "not found" in words:
        return TraitscopeError(
            f"the Hub dataset {name} has no subset {data.subset!r}",
            where=where,
            fix=did_you_mean(str(data.subset), known),
        )
    if "Config name is missing" in words:
        return TraitscopeError(
            f"the Hub dataset {name} has several subsets", where=where, fix=f"add subset: {' or '.join(known[:8])}"
        )
    if "scripts are no longer supported" in words:
        return TraitscopeError(
            f"the Hub dataset {name} is a program, which is not run",
            where=where,
            fix="name the Hub's own copy of its rows with revision: refs/convert/parquet, where there is one",
        )
    if type(error).__name__ in ("DataFilesNotFoundError", "EmptyDatasetError"):
        return TraitscopeError(
            f"the Hub dataset {name} holds no files of rows",
            where=where,
            fix=f"look at {address(name, 'dataset')}, and name one with csv, json or parquet files",
        )
    told = hub_error(error, where, name, kind="dataset", revision=data.revision)
    without_network = "; without a network save it elsewhere with datasets.save_to_disk and name the folder with path:"
    kind = NotOnThisDisk if missing and constants.is_offline_mode() else type(told)
    return kind(told.what, where=told.where, fix=f"{told.fix}{without_network}")
