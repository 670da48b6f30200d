"""The reference pages of the documentation's site, generated from the code.

`site_hooks.py` puts what these functions return into the pages in docs/reference/.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, fields, is_dataclass
from importlib.util import find_spec
from inspect import cleandoc
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import typer
from pydantic import TypeAdapter

from digit_recognizer.cli.app import app
from digit_recognizer.recipes import numbers, recipe
from digit_recognizer.recipes.toml_tables import packaged_names, recipe_text

MODULES = (
    "digit_recognizer",
    "digit_recognizer.reading",
    "digit_recognizer.sources",
    "digit_recognizer.training",
    "digit_recognizer.sklearn",
)  # what docs/reference/python.md shows of the library
Schema = dict[str, Any]
FIRST_ERROR = 400  # of the status codes of HTTP


def commands() -> str:
    """Return a section for each command: usage, help, arguments, options, examples."""
    return "\n\n".join(_sections_of_commands(typer.main.get_command(app), "digits"))


def _sections_of_commands(group: Any, path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield f"## `{path} {name}`\n\n{_prose(command.help)}"
            yield from _sections_of_commands(command, f"{path} {name}")
        else:
            yield _command(f"{path} {name}", command)


def _command(path: str, command: Any) -> str:
    shown = [each for each in command.params if not each.hidden and each.name != "help"]
    arguments = [each for each in shown if not each.opts[0].startswith("-")]
    options = [each for each in shown if each not in arguments]
    usage = " ".join([path, *(["[OPTIONS]"] if options else []), *map(_argument_in_usage, arguments)])
    parts = [f"## `{path}`", _prose(command.help), f"```text\n{usage}\n```"]
    if arguments:
        parts.append(
            _table(("argument", "meaning"), ((_code(_value(each)), _cell(each.help)) for each in arguments))
        )
    for panel in dict.fromkeys(each.rich_help_panel for each in options):
        rows = [_option(each) for each in options if each.rich_help_panel == panel]
        parts += [f"**{panel}**"] if panel else []
        parts.append(_table(("option", "meaning"), rows))
    if command.epilog:
        examples = re.sub(r"\[/?cyan\]", "", command.epilog).splitlines()[1:]
        parts.append("Examples:\n\n```sh\n" + "\n".join(each.strip() for each in examples) + "\n```")
    return "\n\n".join(parts)


def _argument_in_usage(argument: Any) -> str:
    name = _value(argument) + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _option(option: Any) -> tuple[str, str]:
    names = ", ".join(map(_code, [*option.opts, *option.secondary_opts]))
    value = "" if getattr(option, "is_flag", False) else f" {_code(_value(option))}"
    default = option.default
    is_shown = option.show_default and default not in (None, False, (), []) and not callable(default)
    note = f" [default: {getattr(default, 'value', default)}]" if is_shown else ""
    return names + value, _cell(option.help) + note


def _value(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper().replace("_", "-"))


def recipes() -> str:
    """Return the keys of both kinds of recipes, and the packaged recipes."""
    parts = ["## Keys", _keys_of(recipe.Recipe)]
    parts += [_tables_of(recipe.Recipe), "## Keys of recipes for numbers", _keys_of(numbers.NumbersRecipe)]
    parts += [_tables_of(numbers.NumbersRecipe, beside=recipe.Recipe), "## Packaged recipes"]
    for name in packaged_names():
        parts += [f"### `{name}`", f"```toml\n{recipe_text(name).strip()}\n```"]
    return "\n\n".join(parts)


def _tables_of(kind: type, beside: type | None = None) -> str:
    known = set(_nested(beside)) if beside else set()
    return "\n\n".join(
        f"### {_title(each, kind)}\n\n{_prose(each.__doc__)}\n\n{_keys_of(each)}"
        for each in dict.fromkeys(_nested(kind))
        if each not in known and fields(each)
    )


def _nested(kind: type) -> Iterator[type]:
    """Yield the classes of the tables in a recipe, in their order."""
    for hint in get_type_hints(kind).values():
        yield from filter(is_dataclass, _members(hint))


def _members(hint: Any) -> list[Any]:
    """Return the types that a union consists of, or the type itself."""
    if get_origin(hint) not in (Union, UnionType):
        return [hint]
    return [member for part in get_args(hint) for member in _members(part)]


def _title(table: type, owner: type) -> str:
    """Return the name of a table and, if several classes have it, the `name` that chooses this one."""
    (key,) = [name for name, hint in get_type_hints(owner).items() if table in _members(hint)]
    return f"`{key}`: {_chosen_by(table)}" if _chosen_by(table) else f"`{key}`"


def _chosen_by(table: type) -> str:
    """Return the value of `name` that chooses a table among those of a key, or nothing."""
    name = get_type_hints(table).get("name")
    return str(get_args(name)[0]) if name else ""


def _keys_of(kind: Any) -> str:
    """Return a table of the keys of a recipe or of a table in it."""
    properties = TypeAdapter(kind).json_schema(mode="validation")["properties"]
    meanings = {**_comments(kind), **_attributes(kind)}
    hints = get_type_hints(kind)
    rows = []
    for each in fields(kind):
        tables = [_link(each.name, table) for table in _members(hints[each.name]) if is_dataclass(table)]
        value = f"table: {' or '.join(tables)}" if tables else _in_words(properties[each.name])
        meaning = "" if tables else _cell(meanings.get(each.name))
        rows.append((_code(each.name), value, _default(each), meaning))
    return _table(("key", "value", "default", "meaning"), rows)


def _link(key: str, table: type) -> str:
    """Return a link to the section about a table."""
    name = _chosen_by(table)
    return f"[{name}](#{key}-{name})" if name else f"[{key}](#{key})"


def _default(field: Any) -> str:
    if field.default is MISSING:
        return "required"
    if field.default is None or is_dataclass(field.default) or field.default in ((), ""):
        return ""
    return _code(str(field.default))


def _comments(kind: Any) -> dict[str, str]:
    """Return the comments after the fields of a class."""
    return dict(re.findall(r"^    (\w+): .*?  # (.*)$", inspect.getsource(kind), re.MULTILINE))


def _attributes(kind: Any) -> dict[str, str]:
    """Return the section "Attributes" of a docstring, by name; several names may share a text."""
    text = cleandoc(kind.__doc__).partition("----------\n")[2]
    found = re.findall(r"^(\w[\w, ]*)\n((?:    .*\n?)+)", text, re.MULTILINE)
    return {
        name: " ".join(meaning.split())
        for names, meaning in found
        if ":" not in names
        for name in names.split(", ")
    }


def json_keys() -> str:
    """Return the keys of each object in `digits read --json`."""
    from digit_recognizer.service.reading_schemas import reading_schema

    schema = reading_schema()
    objects = schema["$defs"]
    first = [each["$ref"].rpartition("/")[2] for each in schema["anyOf"]]  # what a line may be
    return "\n\n".join(_object(name, objects[name]) for name in dict.fromkeys([*first, *objects]))


def http() -> str:
    """Return a section for each route of the service, and the keys of its objects."""
    from digit_recognizer.service.app import create_app
    from digit_recognizer.service.settings import Settings

    document = create_app(Settings(corrections=True)).openapi()
    parts = [
        _route(method.upper(), path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method in ("get", "post", "put", "delete")
    ]
    schemas = document["components"]["schemas"]
    parts.append("## Objects")
    parts += [_object(name, each) for name, each in schemas.items() if "properties" in each]
    return "\n\n".join(parts)


def _route(method: str, path: str, operation: Schema) -> str:
    parts = [f"## `{method} {path}`", _prose(operation.get("description") or operation.get("summary"))]
    rows = [
        (_code(each["name"]), each["in"], _in_words(each.get("schema", {})), _cell(each.get("description")))
        for each in operation.get("parameters", [])
    ]
    if rows:
        parts.append(_table(("parameter", "in", "value", "meaning"), rows))
    body = operation.get("requestBody", {}).get("content", {})
    if body:
        parts.append("Body: " + ", ".join(map(_code, body)) + _link_of(body) + ".")
    answers = {status: each for status, each in operation["responses"].items() if int(status) < FIRST_ERROR}
    for status, each in answers.items():
        content = each.get("content", {})
        parts.append(
            f"Answer {status}: " + (", ".join(map(_code, content)) or "empty") + _link_of(content) + "."
        )
        example = content.get("application/json", {}).get("example")
        if example is not None:
            parts.append(f"```json\n{shortened(json.dumps(example, indent=2))}\n```")
    errors = sorted(set(operation["responses"]) - set(answers))
    return "\n\n".join(
        [*parts, *([f"[Errors](../service.md#errors): {', '.join(errors)}"] if errors else [])]
    )


def shortened(text: str) -> str:
    """Return JSON with short lists on one line."""
    return re.sub(r"\[\s+([^\[\]{}]{0,400}?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text)


def _link_of(content: Schema) -> str:
    """Return a link to the object that a body or an answer is, if it is one."""
    schema = content.get("application/json", {}).get("schema", {})
    return f" ({_in_words(schema)})" if "$ref" in schema else ""


def _object(name: str, schema: Schema) -> str:
    required = schema.get("required", ())
    rows = [
        (
            _code(key),
            _in_words(each) + ("" if key in required else ", may be absent"),
            _cell(each.get("description")),
        )
        for key, each in schema["properties"].items()
    ]
    return f"### {name}\n\n{_prose(schema.get('description'))}\n\n{_table(('key', 'value', 'meaning'), rows)}"


def _in_words(schema: Schema) -> str:
    """Return what values a JSON schema allows."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in schema:
        return _code(str(schema["const"]))
    if "enum" in schema:
        return " or ".join(_code(str(each)) for each in schema["enum"])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(map(_in_words, schema[key])))
    if schema.get("type") == "array":
        return _array(schema)
    return _kind(schema) + _range(schema)


def _array(schema: Schema) -> str:
    if "prefixItems" in schema:
        return "list of " + ", ".join(map(_in_words, schema["prefixItems"]))
    least, most = schema.get("minItems"), schema.get("maxItems")
    count = f" of {most}" if least == most is not None else ""
    return f"list{count}{' ×' if count else ' of'} {_in_words(schema.get('items', {}))}"


def _kind(schema: Schema) -> str:
    words = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false"}
    words |= {"null": "null", "object": "object"}
    kind = words.get(schema.get("type", ""), "anything")
    if schema.get("contentEncoding") == "base64":
        return "text in base64"
    return kind


def _range(schema: Schema) -> str:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    return "".join(f" {word} {schema[key]:,}" for key, word in words.items() if key in schema)


def python() -> str:
    """Return the directives with which mkdocstrings shows every public name of the library."""
    parts = []
    for module in MODULES:
        meaning = _prose(ast.get_docstring(_source_of(module))).partition("\n\n")[0]
        parts += [f"## {module}\n\n{meaning}", *(f"::: {module}.{name}" for name in public_names(module))]
    return "\n\n".join(parts)


def public_names(module: str) -> list[str]:
    """Return the names that a module exports, without those that the package itself exports."""
    known = () if module == MODULES[0] else public_names(MODULES[0])
    (names,) = [
        ast.literal_eval(each.value)
        for each in _source_of(module).body
        if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "__all__"
    ]
    return [name for name in names if name not in known]


def _source_of(module: str) -> ast.Module:
    """Parse a module without importing it, because some need torch."""
    found = find_spec(module)
    assert found is not None
    assert found.origin is not None
    return ast.parse(Path(found.origin).read_text("utf-8"))


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown, without columns that are empty."""
    cells = list(rows)
    kept = [column for column in range(len(heading)) if any(row[column] for row in cells)]
    lines = [[row[column] for column in kept] for row in (heading, ["---"] * len(heading), *cells)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(text: str) -> str:
    return f"`{text}`"


def _prose(text: str | None) -> str:
    """Return a docstring or a help text as Markdown."""
    return cleandoc(text or "").replace("``", "`").replace("\\[", "[")


def _cell(text: str | None) -> str:
    return " ".join(_prose(text).split()).replace("|", "\\|").replace("<", "&lt;")


GENERATED = {"commands": commands, "recipes": recipes, "json": json_keys, "http": http, "python": python}
