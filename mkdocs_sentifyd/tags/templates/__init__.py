"""Render Jinja2 templates with autoescaping, as ASCII."""

from __future__ import annotations

import functools

from jinja2 import Environment, PackageLoader, StrictUndefined

__all__ = ["render"]


def render(template: str, **values: object) -> str:
    """Render a template.

    Args:
        template: name of a file in this folder.
        values: values of the template's variables.

    Returns:
        ASCII text, so that it is correct in any encoding of a page. Other characters are written as
        character references.
    """
    text = _templates().get_template(template).render(values)
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


@functools.cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("mkdocs_sentifyd.tags"), autoescape=True, undefined=StrictUndefined
    )
