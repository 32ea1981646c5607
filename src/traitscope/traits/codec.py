"""Results as JSON: dataclasses of arrays, tuples and plain values, NaN as null."""

from __future__ import annotations

import types
from dataclasses import fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np


def encode(value: Any) -> Any:
    """A dataclass, array or container as plain JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, np.ndarray):
        return encode(value.tolist())
    if isinstance(value, np.generic):
        return encode(value.item())
    if isinstance(value, dict):
        return {str(k): encode(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [encode(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def decode(kind: Any, data: Any) -> Any:
    """The value of a declared type from JSON values; unknown keys of a dataclass are ignored."""
    origin = _origin(kind)
    if origin is Union or origin is types.UnionType:
        if data is None:
            return None if type(None) in get_args(kind) else float("nan")
        return decode(next(a for a in get_args(kind) if a is not type(None)), data)
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return kind(**{f.name: decode(hints[f.name], data[f.name]) for f in fields(kind) if f.name in data})
    if origin is np.ndarray:
        # dtype=float turns None into NaN.
        return np.array(data, dtype=float)
    if origin is tuple:
        inner = get_args(kind)[0]
        return tuple(decode(inner, v) for v in data)
    if origin is dict:
        inner = get_args(kind)[1]
        return {k: decode(inner, v) for k, v in data.items()}
    if kind is float:
        return float("nan") if data is None else float(data)
    return data


def _origin(kind: Any) -> Any:
    """What a declared type is made of; of a named alias (``NDArray`` since numpy 2.5) what the name stands for."""
    origin = get_origin(kind)
    return get_origin(origin.__value__) if hasattr(origin, "__value__") else origin
