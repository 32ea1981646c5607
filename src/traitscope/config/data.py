"""What a study file may say about a task's rows: where they are, which are kept, how they are divided."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, field_validator, model_validator

from traitscope.config.hub_name import with_revision
from traitscope.config.problems import NAME, Problem, check_name
from traitscope.config.settings import Settings
from traitscope.config.template import check_condition
from traitscope.texts import shown

# A folder that ``datasets.save_to_disk`` wrote: named like a file format, read as a whole.
FOLDER = "folder"
# Far above what anybody means: a number beyond is a slip of the pen, and would end in an error of a library.
MOST = 1_000_000_000
# Ways to write text in ASCII: what they read is what no file says.
_NO_FILE = ("unicode-escape", "raw-unicode-escape", "idna", "punycode", "undefined")
Name = Annotated[str, StringConstraints(pattern=NAME, max_length=80)]


def one_or_many(value: Any) -> Any:
    """One text as a list of it."""
    return (value,) if isinstance(value, str) else value


def _filled(text: str) -> str:
    if not text.strip():
        raise Problem("the text is empty", fix="write one, or remove it")
    return text


def some(texts: tuple[str, ...]) -> tuple[str, ...]:
    if not texts:
        raise Problem("the list is empty", fix="write what it should hold, or remove the key")
    return texts


Filled = Annotated[str, AfterValidator(_filled)]
Texts = Annotated[tuple[Filled, ...], BeforeValidator(one_or_many)]
SomeTexts = Annotated[Texts, AfterValidator(some)]
Count = Annotated[int, Field(ge=0, le=MOST)]
# numpy's and torch's generators both take it.
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class SplitPaths(Settings):
    """Separate files (or separate splits of one source) for training and for evaluation."""

    train: SomeTexts | None = Field(None, description="File, glob or split that a source trains on")
    eval: SomeTexts | None = Field(None, description="File, glob or split that models are evaluated on")

    @model_validator(mode="after")
    def _some(self) -> SplitPaths:
        if self.train is None and self.eval is None:
            raise Problem("neither train nor eval is named", fix="write {train: ..., eval: ...} or one of the two")
        return self


class DataConfig(Settings):
    """Where the rows of a task are, and how many of them train and evaluate.

    Exactly one of ``path``, ``hub`` and ``embedded``. One file (or one split) is divided by seed: no row, and
    no question that stands in it twice, is on both sides. With separate train and eval files the rows of
    ``train`` that repeat a question of ``eval`` are dropped (see ``duplicates``).
    """

    path: SomeTexts | SplitPaths | None = Field(
        None,
        description="A file, glob or list of them, or {train: ..., eval: ...}; from the study file's folder",
    )
    hub: Filled | None = Field(
        None, description="A Hugging Face Hub dataset id such as stanfordnlp/imdb (or stanfordnlp/imdb@revision)"
    )
    embedded: Filled | None = Field(None, description="The name of one of the built-in generated tasks")
    revision: Filled | None = Field(None, description="Hub revision: a commit, tag or branch")
    subset: Filled | None = Field(None, description="The Hub dataset's configuration name, where it has several")
    splits: Filled | SplitPaths | None = Field(
        None,
        description="Splits of a Hub dataset or saved folder: {train: ..., eval: ...}, or one to divide",
    )
    files: SomeTexts | SplitPaths | None = Field(
        None,
        description="Files in a Hub dataset's repository instead of its splits: a path, glob or list of them, or "
        "{train: ..., eval: ...}; nothing else of it is downloaded",
    )
    format: str | None = Field(None, description="The file format, where the file's ending does not say it")
    field: Filled | None = Field(
        None,
        description="Dotted key of the row list in a JSON object; * takes every key (column _key says which)",
    )
    columns: SomeTexts | None = Field(None, description="Column names of a file without a header line")
    delimiter: str | None = Field(None, description="The one character between columns (csv and tsv)")
    quotes: bool | None = Field(None, description='Whether "..." encloses values; default: true for csv, false for tsv')
    encoding: str = Field("utf-8", description="Text encoding of the file")
    join: dict[Filled, Filled] = Field(
        default_factory=dict,
        description="Extra columns from plain text files with one line per row: {column: file}",
    )
    where_: str | dict[str, Any] | None = Field(
        None,
        alias="where",
        description="Rows to keep: a Jinja condition over the columns, or {column: allowed values}",
    )
    train: Count | Literal["all"] = Field("all", description="How many rows a source trains on")
    eval: Count | Literal["all"] | None = Field(
        None,
        description="How many rows evaluate; default: all of an eval file, a fifth (at most 1000) of a file "
        "that is divided",
    )
    seed: Seed = Field(0, description="Seed of the order of the rows and of the division")
    duplicates: Literal["drop", "refuse", "keep"] = Field(
        "drop", description="Train rows whose question stands in the eval rows too: dropped, refused or kept"
    )

    @model_validator(mode="before")
    @classmethod
    def _with_revision(cls, said: Any) -> Any:
        return with_revision(said, "hub", None)

    @model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        if isinstance(self, HarnessData):
            return self
        given = [n for n in ("path", "hub", "embedded") if getattr(self, n) is not None]
        if len(given) != 1:
            raise Problem(
                "no source of rows is given" if not given else f"{' and '.join(given)} are given together",
                fix="write exactly one of path: (files), hub: (a dataset id) and embedded: (a built-in task)",
            )
        local_only = ("format", "field", "columns", "delimiter", "quotes")
        if given[0] != "path":
            for name in (*local_only, "join"):
                if getattr(self, name):
                    raise Problem(f"{name} is for files, not for {given[0]}", fix=f"remove {name}", keys=(name,))
        if given[0] != "hub":
            for name in ("revision", "subset", "files"):
                if getattr(self, name) is not None:
                    raise Problem(f"{name} is for Hub datasets only", fix=f"remove {name}", keys=(name,))
        if given[0] == "embedded" and self.splits is not None:
            raise Problem("embedded tasks have their own train and eval rows", fix="remove splits", keys=("splits",))
        if self.splits is not None and isinstance(self.path, SplitPaths):
            raise Problem("path already says what trains and what evaluates", fix="remove splits", keys=("splits",))
        for name in ("splits", "subset"):
            if self.files is not None and getattr(self, name) is not None:
                raise Problem(
                    f"files already say which rows are read, without {name}", fix=f"remove {name}", keys=(name,)
                )
        if self.delimiter is not None and len(self.delimiter) != 1:
            raise Problem(
                f"the delimiter must be one character, not {shown(self.delimiter)}",
                fix='write one, such as delimiter: ";" or "\\t" in double quotes',
                keys=("delimiter",),
            )
        return self

    @field_validator("format")
    @classmethod
    def _format(cls, name: str | None) -> str | None:
        if name not in (None, FOLDER):
            check_name("file format", name, also=(FOLDER,))
        return name

    @field_validator("encoding")
    @classmethod
    def _encoding(cls, name: str) -> str:
        try:
            # Python finds a codec under a name with any other characters in it too.
            known = re.fullmatch(r"[A-Za-z0-9 _.:-]+", name) is not None and codecs.lookup(name).name not in _NO_FILE
            b"a".decode(name, "ignore")
        except (LookupError, ValueError):
            known = False
        if not known:
            raise Problem(f"unknown encoding {name!r}", fix="write encoding: utf-8 or latin-1")
        return name

    @field_validator("columns")
    @classmethod
    def _columns(cls, columns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = sorted({c for c in columns or () if (columns or ()).count(c) > 1})
        if twice:
            raise Problem(
                f"the column {shown(twice[0])} is named twice", fix="name every column once, in the file's order"
            )
        return columns

    @field_validator("where_")
    @classmethod
    def _where(cls, where: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
        if isinstance(where, str):
            check_condition(where)
        elif isinstance(where, dict):
            for column, allowed in where.items():
                values = allowed if isinstance(allowed, list) else [allowed]
                if not values or any(isinstance(v, Mapping | list) for v in values):
                    raise Problem(
                        f"the allowed values of {shown(column)} must be a value or a list of values",
                        fix=f"write {{{column}: [value, value]}}",
                        keys=(column,),
                    )
        return where

    @property
    def divided(self) -> bool:
        """Whether one set of rows is divided by seed into train and eval."""
        if self.embedded is not None:
            return False
        return not any(isinstance(paths, SplitPaths) for paths in (self.path, self.splits, self.files))

    def part_is_named(self, name: Literal["train", "eval"]) -> bool:
        """Whether there are rows for this part, whatever number of them is taken."""
        for paths in (self.path, self.splits, self.files):
            if isinstance(paths, SplitPaths):
                return getattr(paths, name) is not None
        return True

    @property
    def has_train(self) -> bool:
        """Whether the task has rows to train on (known without reading them)."""
        return self.train != 0 and self.part_is_named("train")

    @property
    def has_eval(self) -> bool:
        """Whether the task has rows to be evaluated on (known without reading them)."""
        return self.eval != 0 and self.part_is_named("eval")


class HarnessData(DataConfig):
    """Stands where lm-evaluation-harness has the rows: there are some to be evaluated on, none to train on."""

    train: Literal[0] = 0
