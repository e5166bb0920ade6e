"""Jinja2 templates with autoescaping, as text that is right in every encoding of a page."""

from __future__ import annotations

import functools

from jinja2 import Environment, PackageLoader, StrictUndefined

__all__ = ["render"]


def render(template: str, **values: object) -> str:
    """Render a template.

    Args:
        template: name of the file in this folder.
        values: what it names.

    Returns:
        ASCII; all else is in character references.
    """
    text = _templates().get_template(template).render(values)
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


@functools.cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("mkdocs_sentifyd.tags"), autoescape=True, undefined=StrictUndefined
    )
