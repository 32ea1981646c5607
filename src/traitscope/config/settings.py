"""The base of all configuration classes: frozen, keyword-only, and with errors a user can act on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, PrivateAttr, ValidationError
from pydantic._internal._model_construction import ModelMetaclass
from pydantic_core import CoreSchema

from traitscope.config.problems import explain
from traitscope.config.yamlfile import KeyPath, Places, dotted

S = TypeVar("S", bound="Settings")


class _Origin:
    """Where a model was read. Equal to every other origin, so that models compare by their values."""

    def __init__(self, places: Places | None, path: KeyPath) -> None:
        self.places = places
        self.path = path

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, _Origin)

    __hash__ = None  # type: ignore[assignment]


class _Friendly(ModelMetaclass):
    """Turns pydantic's validation errors into ours when a model is built by hand in Python."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except ValidationError as error:
            raise explain(error, cast("type[BaseModel]", cls), kwargs, None) from None


def _make_strict(node: Any) -> None:
    """Numbers and truth values are taken as they are; lists still stand for tuples, as YAML has no others."""
    if isinstance(node, dict):
        if node.get("type") in ("int", "float", "bool"):
            node["strict"] = True
        for part in node.values():
            _make_strict(part)
    elif isinstance(node, list):
        for part in node:
            _make_strict(part)


class Settings(BaseModel, metaclass=_Friendly):
    """A frozen, keyword-only configuration model that refuses unknown keys and knows where it was read."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    _origin: _Origin | None = PrivateAttr(default=None)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """As pydantic makes it, but no text stands for a number, no truth value for 1, no 8.0 for 8."""
        schema = handler(source)
        _make_strict(schema)
        return schema

    def where(self, *keys: str | int) -> str:
        """The place of ``keys`` below this model, as an error message names it."""
        if self._origin is None:
            return dotted(keys)
        path = (*self._origin.path, *keys)
        if self._origin.places is None:
            return dotted(path)
        return self._origin.places.where(path)


def settings_from(cls: type[S], data: Any, places: Places, root: Path, *, plugins: bool = True) -> S:
    """``data`` (parsed YAML) as a ``cls`` whose parts all know their file and line; relative paths start from ``root``.

    Without ``plugins`` those it names are not imported.

    Raises:
        TraitscopeError: naming file, line, key, what is wrong and what to write instead.
    """
    try:
        model = cls.model_validate(data, context={"root": root, "plugins": plugins})
    except ValidationError as error:
        raise explain(error, cls, data, places) from None
    attach(model, places, ())
    return model


def attach(model: Settings, places: Places | None, path: KeyPath) -> None:
    """Tells ``model`` and every model inside it where it was read."""
    model._origin = _Origin(places, path)
    for name, info in type(model).model_fields.items():
        key = info.alias or name
        value = getattr(model, name)
        if isinstance(value, Settings):
            attach(value, places, (*path, key))
        elif isinstance(value, Mapping):
            for inner, item in value.items():
                if isinstance(item, Settings):
                    attach(item, places, (*path, key, str(inner)))
        elif isinstance(value, tuple):
            for index, item in enumerate(value):
                if isinstance(item, Settings):
                    attach(item, places, (*path, key, index))
