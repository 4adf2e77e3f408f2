"""Settings from YAML and JSON, every fault at once with its dotted path; and the commented `config.yaml`. Floor 2."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from cellseg.config import Config, SegmentationSettings, ThresholdSettings
from cellseg.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[int | str, ...]
_NO_OVERRIDES: Mapping[str, Any] = {}


class _UniqueKeyLoader(yaml.SafeLoader):
    """A loader that refuses a key that is there twice, of which YAML would silently take the last."""


def _unique_mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    seen: dict[Any, int] = {}
    for key_node, _ in node.value:
        key, line = loader.construct_object(key_node, deep=True), key_node.start_mark.line + 1
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {key!r} is on line {seen[key]} and on line {line}; keep one", key_node.start_mark
            )
        seen[key] = line
    return loader.construct_mapping(node, deep=True)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def read_config(path: Path | None, overrides: Mapping[str, Any] = _NO_OVERRIDES) -> Config:
    """The settings of a YAML file (None: the defaults), with `overrides` put over them.

    Keys of `overrides` may be dotted (`segmentation.threshold.method`) or nested.

    Raises
    ------
    ConfigError
        With every fault of the file: dotted path, what was found, what is allowed.
    """
    values = {} if path is None else load_mapping(_read_text(path), str(path))
    for key, value in overrides.items():
        values = _merged(values, _nested(key.split("."), value))
    return parse_settings(Config, values, "settings" if path is None else str(path))


def read_settings(model: type[Model], text_or_path: str | None) -> Model:
    """A section's settings from inline JSON or from the path of a JSON or YAML file; None gives the defaults.

    Raises
    ------
    ConfigError
        With every fault: dotted path, what was found, what is allowed.
    """
    return parse_settings(model, *_load(text_or_path))


def read_segmentation(text_or_path: str | None, method: str | None = None) -> SegmentationSettings:
    """The section `segmentation`, or just the part of it that the method reads, as `read_settings` takes it.

    `method` wins over what the section says. A mapping without parts is the part `threshold`, `maskrcnn` or, for a
    registered method, `plugin`.

    Raises
    ------
    ConfigError
        With every fault: dotted path, what was found, what is allowed.
    """
    values, where = _load(text_or_path)
    if values and not _is_section(values):
        values = {_PART_OF_METHOD.get(method or "threshold", "plugin"): values}
    return parse_settings(SegmentationSettings, values if method is None else {**values, "method": method}, where)


_PART_OF_METHOD = {"threshold": "threshold", "maskrcnn": "maskrcnn"}
_THRESHOLDS = get_args(ThresholdSettings.model_fields["method"].annotation)


def _is_section(values: Mapping[str, Any]) -> bool:
    """Whether this is the section and no part: `method` is a key of both, but with other values."""
    if set(values) & (set(SegmentationSettings.model_fields) - {"method"}):
        return True
    method = values.get("method")
    return method in _PART_OF_METHOD or (set(values) == {"method"} and method not in _THRESHOLDS)


def _load(text_or_path: str | None) -> tuple[dict[str, Any], str]:
    """The mapping of inline JSON or of a file, and what messages call it."""
    if text_or_path is None:
        return {}, "settings"
    if text_or_path.lstrip().startswith("{"):
        return load_mapping(text_or_path, "--settings"), "--settings"
    return load_mapping(_read_text(Path(text_or_path)), text_or_path), text_or_path


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"{path}: settings cannot be read ({error.strerror}); check the path; `cellseg config` "
            "prints a file to start from"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def load_mapping(text: str, where: str) -> dict[str, Any]:
    """The mapping that YAML (or JSON, which is YAML) text holds; empty text is an empty mapping.

    Raises
    ------
    ConfigError
        If it is not YAML, not a mapping, or names a key twice.
    """
    try:
        values = yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise ConfigError(f"{where}: {line}not valid YAML: {problem}; correct that line") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: a {type(values).__name__}, expected settings as `key: value`")
    return values


def _nested(keys: Sequence[str], value: Any) -> dict[str, Any]:  # noqa: ANN401 - any setting
    return {keys[0]: value if len(keys) == 1 else _nested(keys[1:], value)}


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in over.items():
        below = out.get(key)
        out[key] = _merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return out


def parse_settings(model: type[Model], values: Mapping[str, Any], where: str) -> Model:
    """The settings that `values` hold, the rest at their defaults.

    Raises
    ------
    ConfigError
        With every fault on one line: dotted path, what was found, what is allowed.
    """
    # an empty section (`report:` and nothing under it) is a section at its defaults
    try:
        return model.model_validate(_without_empty_sections(model, values))
    except ValidationError as error:
        raise ConfigError(f"{where}: " + "; ".join(dict.fromkeys(_faults(model, error)))) from error


def _without_empty_sections(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    kept = {}
    for key, value in values.items():
        section = _section(model, key)
        if section is None or isinstance(value, Mapping) or value is not None:
            kept[key] = _without_empty_sections(section, value) if section and isinstance(value, Mapping) else value
    return kept


def _section(model: type[BaseModel], key: int | str) -> type[BaseModel] | None:
    """The model of a field's values; None where the field holds plain ones."""
    field = model.model_fields.get(str(key))
    if field is None:
        return None
    kinds = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _faults(model: type[BaseModel], error: ValidationError) -> Iterator[str]:
    for fault in error.errors():
        path = ".".join(str(part) for part in fault["loc"] if part != "[key]") or "settings"
        yield f"{path}: {_explain(model, dict(fault))}"


def _explain(model: type[BaseModel], fault: dict[str, Any]) -> str:
    kind, found = fault["type"], fault.get("input")
    if kind == "extra_forbidden":
        known = list(_model_at(model, fault["loc"][:-1]).model_fields)
        near = get_close_matches(str(fault["loc"][-1]), known, n=1, cutoff=0.5)
        return "unknown key; " + (f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}")
    message = str(fault["msg"]).removeprefix("Value error, ").replace("Input should be", "expected")
    if kind == "missing":
        return "missing; add it"
    if kind == "literal_error":
        allowed = str(fault["ctx"]["expected"]).replace(" or ", ", ").replace("'", "").split(", ")
        near = get_close_matches(str(found), allowed, n=1, cutoff=0.5)
        message += f"; did you mean {near[0]}?" if near else ""
    return message if isinstance(found, Mapping | BaseModel) else f"{found!r} found, {message}"


def _model_at(model: type[BaseModel], location: Location) -> type[BaseModel]:
    """The model at a place; the keys under `by_stain` are those of `threshold` beside it."""
    for key in location:
        model = _section(model, "threshold" if key == "by_stain" else key) or model
    return model


def config_yaml() -> str:
    """The text of `config.yaml`: every setting at its default under its comment; loads back to `Config()`."""
    head = "# Settings of a cellseg run, at their defaults. Lengths in um, areas in um2, fractions 0..1.\n"
    return head + "\n".join(_model_lines(Config(), 0)) + "\n"


def _model_lines(settings: BaseModel, depth: int) -> Iterator[str]:
    pad = "  " * depth
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            if depth == 0:
                yield ""
            yield from _comment(type(value).__doc__ or "", pad)
            yield f"{pad}{name}:"
            yield from _model_lines(value, depth + 1)
            continue
        yield from _comment(field.description or "", pad)
        plain = settings.model_dump(mode="json", include={name})[name]
        if isinstance(plain, dict) and plain:
            yield f"{pad}{name}:"
            block = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
            yield from (f"{pad}  {line}" for line in block.splitlines())
        else:
            yield f"{pad}{name}: {_scalar(plain)}"


def _scalar(value: Any) -> str:  # noqa: ANN401 - any plain value
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _comment(text: str, pad: str) -> list[str]:
    return [f"{pad}# {line}" for line in textwrap.wrap(" ".join(text.split()), 110 - len(pad), break_long_words=False)]
