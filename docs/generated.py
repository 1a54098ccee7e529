"""What the site takes from the code: commands, configuration, data dictionary, parameters, the public names, pictures.

Called by MkDocs while it builds (`hooks` in mkdocs.yml). Formulas become MathML here, which browsers draw themselves:
the site fetches nothing from anywhere.
"""

from __future__ import annotations

import functools
import html
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import typer
from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

import illegalmining
from illegalmining.cli import app
from illegalmining.dictionary import data_dictionary
from illegalmining.district import Configuration

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
FORMULA = re.compile(r'<(?P<tag>span|div) class="arithmatex">(?:\\\(|\\\[)(?P<tex>.*?)(?:\\\)|\\\])</(?P=tag)>', re.S)
PARAMETERS = re.compile(r"<!-- parameters: (?P<name>[\w.]+) -->")
TYPES = {"str": "text", "int": "whole number", "float": "number", "tuple[float, float, float, float]": "four numbers"}
OFFERED = [name for name in getattr(illegalmining, "__all__", []) if not name.startswith("__")]


def on_config(config: Any) -> Any:
    """Leave pages out of the navigation that do not exist."""
    there = {path.relative_to(config.docs_dir).as_posix() for path in Path(config.docs_dir).rglob("*.md")}
    config.nav = kept(config.nav, there | set(pages()))
    return config


def kept(entries: list[Any], there: set[str]) -> list[Any]:
    """The entries whose page exists."""
    found: list[Any] = []
    for entry in entries:
        if isinstance(entry, str):
            found += [entry] * (entry in there)
            continue
        for title, below in entry.items():
            if isinstance(below, list):
                found.append({title: kept(below, there)})
            elif below in there:
                found.append(entry)
    return found


def on_files(files: Files, config: Any) -> Files:
    """Add the pages made from the code, and the pictures of the map."""
    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    for picture in sorted((ROOT / "maps" / "gallery").glob("*.png")):
        files.append(File.generated(config, f"pictures/{picture.name}", abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put tables of parameters where a page asks for them."""
    return PARAMETERS.sub(lambda match: parameters(match["name"]), markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Formulas to MathML."""
    return FORMULA.sub(lambda match: mathml(html.unescape(match["tex"]), match["tag"] == "div"), content)


@functools.cache
def mathml(tex: str, display: bool) -> str:
    """A formula as the browser draws it."""
    drawn = convert(tex.strip(), display="block" if display else "inline")
    return f'<div class="formula" tabindex="0">{drawn}</div>' if display else drawn


@functools.cache
def pages() -> dict[str, str]:
    """Path -> Markdown of every page made from the code."""
    made = {
        "reference/commands.md": commands(),
        "reference/configuration.md": configuration(),
        "reference/dictionary.md": data_dictionary(),
    }
    if not (ROOT / "docs" / "accuracy.md").exists():
        made["accuracy.md"] = "# Accuracy\n\nNot measured in this checkout: `make evaluate` writes this page.\n"
    if OFFERED:
        made["reference/api.md"] = offered()
    if any(NOTEBOOKS.glob("*.py")):
        made["notebooks.md"] = notebooks()
    return made


def notebooks() -> str:
    """What each notebook begins with."""
    parts = [
        "# Notebooks\n",
        "What an analyst opens first: `notebooks/`, run by the tests. They are Python files that Jupyter opens with "
        "jupytext, and each says what it needs.\n",
    ]
    for path in sorted(NOTEBOOKS.glob("*.py")):
        cell = path.read_text("utf-8").split("# %% [markdown]\n", 1)[-1].split("\n# %%", 1)[0]
        title, _, text = "\n".join(line.removeprefix("#").removeprefix(" ") for line in cell.splitlines()).partition(
            "\n"
        )
        parts += [f"## {title.lstrip('# ')}\n", f"`notebooks/{path.name}`\n", text.strip() + "\n"]
    return "\n".join(parts)


def commands() -> str:
    """Every command with its arguments and options."""
    group = typer.main.get_command(app)
    parts = [
        "# Commands\n",
        "Written from the command line itself: `illegalmining COMMAND --help` says the same.\n",
        "| exit status | meaning |\n| --- | --- |\n| 0 | done |\n| 1 | the run failed |\n"
        "| 2 | the command line or the configuration is wrong |\n| 3 | done, but some input was set aside |\n"
        "| 130 | interrupted; run the same command again to go on |\n",
    ]
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        asked = [usage(one) for one in command.params if one.param_type_name == "argument" or one.required]
        parts += [f"## {name}\n", f"```sh\nillegalmining {' '.join([name, *asked])}\n```\n", f"{command.help}\n"]
        rows = [command_row(one) for one in command.params]
        parts.append("\n".join(["| | if not given | |", "| --- | --- | --- |", *rows]) + "\n")
    return "\n".join(parts)


def usage(parameter: Any) -> str:
    """A parameter as it is typed."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    return f"{parameter.opts[0]} {parameter.metavar or parameter.name.upper()}"


def command_row(parameter: Any) -> str:
    """A parameter as a row of a table."""
    words = " ".join(str(parameter.help or "").split())
    if parameter.param_type_name == "argument":
        return f"| `{usage(parameter)}` | needed | {words} |"
    typed = "/".join([*parameter.opts, *parameter.secondary_opts])
    flag = parameter.is_flag
    typed += "" if flag or not parameter.metavar else f" {parameter.metavar}"
    given = parameter.default
    stands = "needed" if parameter.required else "" if given in (None, False, ()) or flag else f"{given}"
    return f"| `{typed}` | {stands} | {words} |"


def configuration() -> str:
    """Every key of `district.toml`."""
    parts = [
        "# Configuration: `district.toml`\n",
        "Paths are relative to the file. Unknown keys are an error, and every fault is named. Written from the checked "
        "models in `district.py`; see [Bring your own data](../how/own-data.md) for an example.\n",
    ]
    for name, field in Configuration.model_fields.items():
        section = next(kind for kind in kinds(field.annotation) if hasattr(kind, "model_fields"))
        many = str(field.annotation).startswith("tuple")
        title = f"[[{name}]]" if many else f"[{name}]"
        needed = "needed" if field.is_required() else "may be left out; any number of them" if many else "optional"
        parts += [f"## `{title}` {{ #{name} }}\n", f"{inspect.getdoc(section)} ({needed})\n"]
        rows = [key_row(key, one) for key, one in section.model_fields.items()]
        parts.append("\n".join(["| key | type | if absent | |", "| --- | --- | --- | --- |", *rows]) + "\n")
    return "\n".join(parts)


def kinds(annotation: Any) -> Iterator[Any]:
    """A type and all that it is made of."""
    yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from kinds(part)


def key_row(key: str, field: Any) -> str:
    """A key as a row of a table."""
    words = re.sub(r"typing\.|<class '|'>|datetime\.| \| None", "", str(field.annotation))
    words = re.sub(r"Literal\[(.*?)\]", lambda match: match[1].replace("'", "`").replace(", ", " or "), words)
    words = TYPES.get(words, words)
    absent = "needed" if field.is_required() else "none" if field.default is None else f"`{field.default}`"
    return f"| `{key}` | {words} | {absent} | {field.description or ''} |"


def parameters(name: str) -> str:
    """The parameters of a method as a table: name, value, meaning; those of its parts are tables of their own."""
    module, _, attribute = name.rpartition(".")
    kind = getattr(importlib.import_module(module), attribute)
    if not is_dataclass(kind):
        raise TypeError(f"{name}: is no dataclass; name the parameters of a method")
    told, text = meanings(kind), inspect.getdoc(kind) or ""
    rows = []
    for field in fields(kind):
        value = getattr(kind(), field.name)
        if is_dataclass(value):
            continue
        shown = ", ".join(f"{part:g}" if isinstance(part, float) else str(part) for part in flat(value))
        rows.append(f"| `{field.name}` | {shown or '-'} | {told.get(field.name, '')} |")
    head = f'??? note "Parameters: {text.splitlines()[0]} (`{attribute}`)"\n\n'
    return (
        head + textwrap.indent("\n".join(["| name | value | meaning |", "| --- | --- | --- |", *rows]), "    ") + "\n"
    )


def flat(value: Any) -> list[Any]:
    """A value, or the values it is made of."""
    if isinstance(value, tuple):
        return [part for one in value for part in flat(one)]
    return [value] if not isinstance(value, dict) else [f"{key}: {one}" for key, one in value.items()]


def meanings(kind: type) -> dict[str, str]:
    """What the docstring says of each field: `name: meaning.` or `name, name: meaning.`, in any order."""
    names = [field.name for field in fields(kind)]
    text = " ".join((inspect.getdoc(kind) or "").split())
    one = "|".join(sorted(names, key=len, reverse=True))
    heads = list(re.finditer(rf"(?:^|(?<=[.:] )|(?<=\) ))((?:{one})(?:(?:, | and )(?:{one}))*)(?: \([^)]*\))?: ", text))
    found = {}
    for head, after in zip(heads, [*heads[1:], None], strict=True):
        said = text[head.end() : after.start() if after else len(text)].strip()
        for name in re.split(r", | and ", head[1]):
            found[name] = said.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
    return found


def offered() -> str:
    """The names `import illegalmining` offers, each with its signature and what it says of itself."""
    parts = ["# Python\n", "What `import illegalmining` offers, written from the names themselves.\n"]
    for name in OFFERED:
        thing = getattr(illegalmining, name)
        parts.append(f"## {name}\n")
        if inspect.isclass(thing) or inspect.isroutine(thing):
            parts.append(f"```python\n{signature(name, thing)}\n```\n")
        parts.append(docstring(inspect.getdoc(thing) or "") + "\n")
    return "\n".join(parts)


def signature(name: str, thing: Any) -> str:
    """A call as it is written, a line a parameter where it is long."""
    try:
        told = inspect.signature(thing)
    except (TypeError, ValueError):
        return name
    if inspect.isclass(thing):
        told = told.replace(return_annotation=inspect.Signature.empty)
    given = [unquoted(str(parameter)) for parameter in told.parameters.values()]
    answer = told.return_annotation
    returns = "" if answer is inspect.Signature.empty else unquoted(f" -> {answer}")
    short = f"{name}({', '.join(given)}){returns}"
    if len(short) <= 90:
        return short
    lines = "".join(f"    {one},\n" for one in given)
    return f"{name}(\n{lines}){returns}"


def unquoted(annotation: str) -> str:
    """An annotation as it stands in the code, where it is evaluated later and so told as a text."""
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", annotation)


def docstring(text: str) -> str:
    """A docstring as Markdown: underlined words become headings, prompts become code, the rest keeps its lines."""
    text = re.sub(r"^(\w[\w ]*)\n-{3,}$", r"**\1**\n", text, flags=re.M)
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        prompt = line.lstrip().startswith(("&gt;&gt;&gt;", ">>>", "..."))
        if prompt and not inside:
            lines.append("\n```python")
            inside = True
        elif inside and not line.strip():
            lines.append("```")
            inside = False
        lines.append(line if inside else line.replace("<", "&lt;"))
    return "\n".join(lines + ["```"] * inside)
