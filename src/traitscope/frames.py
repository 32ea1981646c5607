"""One way from results to tables of other libraries: pandas, polars, Arrow. Every table is flat, with named columns."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from traitscope.errors import TraitscopeError
from traitscope.jsontables import plain
from traitscope.registry import did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

BACKENDS = ("pandas", "polars")


class Tabular(ABC):
    """A result that consists of tables, each with a name."""

    __slots__ = ()

    @abstractmethod
    def named_tables(self) -> dict[str, pd.DataFrame]:
        """The tables by name, the main one first; an index that has a name counts as a column."""

    def to_pandas(self, table: str | None = None) -> pd.DataFrame:
        """A table as a pandas frame without an index of its own.

        Args:
            table: its name; by default the main one.

        Raises:
            TraitscopeError: there is none of that name, with those that there are.
        """
        tables = self.named_tables()
        if table is None:
            table = next(iter(tables))
        if table not in tables:
            raise TraitscopeError(
                f"no table is named {table!r}",
                where=type(self).__name__,
                fix=did_you_mean(table, list(tables)),
            )
        return flat(tables[table])

    def to_polars(self, table: str | None = None) -> pl.DataFrame:
        """A table as a polars frame. Arguments and errors as in ``to_pandas``.

        Raises:
            TraitscopeError: polars is not installed.
        """
        polars = _polars()
        found: pl.DataFrame = polars.from_arrow(arrow_of(self.to_pandas(table)))
        return found


def flat(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy with the named levels of the index as columns, column names as text, and mappings as JSON text."""
    named = [name for name in frame.index.names if name is not None]
    made = frame.reset_index(named) if named else frame.copy()
    made = made.reset_index(drop=True)
    made.columns = [str(name) for name in made.columns]
    for name in made.columns:
        if made[name].dtype == object and made[name].map(lambda v: isinstance(v, Mapping)).any():
            made[name] = [json.dumps(plain(v), ensure_ascii=False) if isinstance(v, Mapping) else v for v in made[name]]
    return made


def with_whole(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The same frame where some columns hold whole numbers and gaps, as far as they do."""
    import numpy as np

    for name in names:
        numbers = frame[name]
        if numbers.dtype.kind == "f" and not (np.isinf(numbers) | (numbers % 1 != 0) & numbers.notna()).any():
            frame = frame.assign(**{name: numbers.astype("Int64")})
    return frame


def arrow_of(frame: pd.DataFrame) -> pa.Table:
    """A flat frame as an Arrow table; a column of values of several kinds becomes text."""
    import pyarrow as pa

    columns = {}
    for name in frame.columns:
        try:
            columns[name] = pa.array(frame[name], from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            columns[name] = pa.array([None if plain(v) is None else str(v) for v in frame[name]], pa.string())
    return pa.table(columns)


def frame_of(table: pa.Table, backend: str) -> Any:
    """An Arrow table as a frame of a library, whole numbers with gaps kept whole.

    Raises:
        TraitscopeError: no such library, or it is not installed.
    """
    if backend not in BACKENDS:
        raise TraitscopeError(f"no backend is named {backend!r}", where="backend", fix=f"one of: {', '.join(BACKENDS)}")
    if backend == "polars":
        return _polars().from_arrow(table)
    import pyarrow as pa

    frame = table.to_pandas()
    for field, column in zip(table.schema, table.columns, strict=True):
        if pa.types.is_integer(field.type) and column.null_count:
            frame[field.name] = column.to_pandas(integer_object_nulls=True).astype("Int64")
    return frame


def check_chosen(chosen: Sequence[str] | None, known: Sequence[str], kind: str) -> None:
    """Refuses a name that is not known.

    Raises:
        TraitscopeError: there is one, with what may have been meant.
    """
    if isinstance(chosen, str):
        raise TraitscopeError(f"{chosen!r} is one text", where=f"{kind}s", fix=f"give a list: [{chosen!r}]")
    for name in chosen or ():
        if not isinstance(name, str):
            raise TraitscopeError(f"{name!r} names no {kind}", where=f"{kind}s", fix="give names, as texts")
        if name not in known:
            raise TraitscopeError(f"no {kind} is named {name!r}", where=f"{kind}s", fix=did_you_mean(name, known))


def _polars() -> Any:
    try:
        import polars
    except ImportError:
        raise TraitscopeError(
            "polars is not installed", where="polars", fix="pip install 'traitscope[polars]', or take pandas"
        ) from None
    return polars
