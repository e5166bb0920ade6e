"""Add names, values and defaults from the code to the reference pages.

mkdocstrings reads docstrings with griffe. This extension of griffe adds an `Entry` to each
attribute, and the templates in `templates/` show it.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any

import griffe
from mkdocs.config import config_options as c
from mkdocs.config.base import BaseConfigOption, Config

from edge_service.settings import parsers
from edge_service.settings.variables import Variable, Variables, declared
from mkdocs_sentifyd.components import LANGUAGES
from mkdocs_sentifyd.options.fields import Flag, Group, Language, OneOf
from mkdocs_sentifyd.options.schema import PageConfig, SentifydConfig


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a reference page.

    Attributes:
        name: name in the configuration; also the anchor.
        facts: short facts in Markdown, by their labels.
        text: the description, in Markdown.
        members: path of the class whose entries come below this one, or empty.
    """

    name: str
    facts: dict[str, str]
    text: str
    members: str = ""


class References(griffe.Extension):
    """Put an `Entry` into `extra` of each option and variable."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:  # noqa: ANN401 - griffe's own
        """Add the entries of a loaded package."""
        for config in (PageConfig, SentifydConfig):
            if _is_in(config, pkg):
                _describe_options(pkg, config)
        if _is_in(Variables, pkg):
            _describe_variables(pkg)


def _is_in(cls: type, package: griffe.Module) -> bool:
    return cls.__module__.partition(".")[0] == package.path


def _read(package: griffe.Module, cls: type) -> dict[str, griffe.Object]:
    """Return griffe's objects for the attributes of a class, by name."""
    path = f"{cls.__module__}.{cls.__name__}".partition(".")[2]
    members: dict[str, griffe.Object] = package[path].members
    return members


def _docstring(attribute: griffe.Object) -> str:
    """Return the docstring of an attribute.

    Raises:
        ValueError: the attribute has none.
    """
    if attribute.docstring is None:
        raise ValueError(f"{attribute.path}: add a docstring below it, for the reference page")
    return attribute.docstring.value


def _describe_options(package: griffe.Module, config: type[Config], prefix: str = "") -> None:
    """Add entries for the options of a class, and for the options below them."""
    members = _read(package, config)
    for name, option in config._schema:  # noqa: SLF001 - MkDocs has no public access
        if name not in members:  # inherited, and shown with the base class
            continue
        text, full_name = _docstring(members[name]), prefix + name
        if isinstance(option, Group):
            group = option.config_class
            _describe_options(package, group, f"{name}.")
            entry = Entry(full_name, {}, text, f"{group.__module__}.{group.__name__}")
        else:
            unset = option.default in (None, {}, ())
            default, text = _default(full_name, None if unset else option.default, text)
            entry = Entry(full_name, {"Values": _values(option), "Default": default}, text)
        members[name].extra["reference"] = {"entry": entry}


def _values(option: BaseConfigOption[Any]) -> str:
    """Return the values of an option, or the first line of its type's docstring."""
    if isinstance(option, c.Optional):
        option = option.option
    match option:
        case OneOf():
            return _listed(*option.choices)
        case Flag():
            return _listed("true", "false")
        case Language():
            return _listed("auto", *LANGUAGES)
    return (inspect.getdoc(option) or "").partition("\n")[0].rstrip(".")


def _listed(*words: str) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _describe_variables(package: griffe.Module) -> None:
    """Add entries for the environment variables of the token service."""
    members = _read(package, Variables)
    for variable in declared():
        attribute = members[variable.name]
        default = None if _is_unset(variable) else variable.default
        shown, text = _default(variable.name, default, _docstring(attribute))
        facts = {"Default": shown}
        if variable.secret:
            facts["File"] = f"`{variable.file_name}` names a file that contains it"
        attribute.extra["reference"] = {"entry": Entry(variable.name, facts, text)}


def _is_unset(variable: Variable[object]) -> bool:
    """Whether the default means that nothing is set."""
    if isinstance(variable.default, bool):
        return variable.parse is not parsers.boolean
    return variable.default in (None, (), frozenset())


def _default(name: str, value: object, text: str) -> tuple[str, str]:
    """Return the default, and the docstring without it.

    Args:
        name: name of the option or variable.
        value: the default in the code, or `None` if only the docstring gives it.
        text: the docstring. It may contain `Default: something.` or `Required in some case.`

    Raises:
        ValueError: the docstring repeats the default of the code.
    """
    found = re.search(r"\s*\b(Default:|Required)(.*?)\.(?=\s|$)", text, re.DOTALL)
    rest = (text[: found.start()] + text[found.end() :]).strip() if found else text
    documented = ""
    if found:
        documented = (found[2] if found[1] == "Default:" else f"required{found[2]}").strip()
    if value is None:
        return documented or "none", rest
    if documented:
        raise ValueError(f"{name}: its default is in the code, so remove it from the docstring")
    if isinstance(value, float):
        value = f"{value:g}"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`", rest
