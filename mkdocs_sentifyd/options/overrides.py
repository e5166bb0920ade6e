"""The option `overrides`: different options for some pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mkdocs.config.base import BaseConfigOption, ValidationError

from mkdocs_sentifyd.components import OVERLAYS
from mkdocs_sentifyd.options.patterns import PathPatterns, Patterns
from mkdocs_sentifyd.options.validation import Mistakes

__all__ = ["Override", "Overrides", "merged"]


@dataclass(frozen=True, slots=True)
class Override:
    """Options for the pages that match.

    Attributes:
        match: patterns for the pages' source paths.
        options: the options that differ, before validation.
    """

    match: PathPatterns
    options: Mapping[str, Any]


class Overrides(BaseConfigOption[tuple[Override, ...]]):
    """A list of mappings, each with `match`.

    `SentifydConfig` checks the options in them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.default = ()

    def run_validation(self, value: object) -> tuple[Override, ...]:
        """Return the overrides in their order; later ones win."""
        if value is None:
            return ()
        if isinstance(value, tuple):
            return value
        if not isinstance(value, list):
            raise ValidationError("must be a list of entries with 'match' and other options")
        found, mistakes = [], []
        for number, entry in enumerate(value, start=1):
            try:
                found.append(_override(number, entry))
            except ValidationError as error:
                mistakes.append(("", str(error)))
        if mistakes:
            raise Mistakes(mistakes)
        return tuple(found)


def merged(site: Mapping[str, Any], page: Mapping[str, Any]) -> dict[str, Any]:
    """Merge options; in groups such as `brand`, option by option.

    Args:
        site: options before validation.
        page: options before validation, which win; `None` resets an option to its default.

    Returns:
        The merged options. Options of the site that do not fit the page's component or avatar, such
        as `loader` or `public_api_key`, are removed.
    """
    result = dict(site)
    # The loader and the spelling belong to a component, and a public key to one avatar.
    if "component" in page and (page["component"] or "bot") != (site.get("component") or "bot"):
        result.pop("loader", None)
        result.pop("attribute_names", None)
        if result.get("display") in OVERLAYS:
            result.pop("display")
    is_other = "avatar_id" in page and str(page["avatar_id"]) != str(site.get("avatar_id"))
    if page.get("public_api_key"):
        result.pop("token_endpoint", None)
    elif page.get("token_endpoint") or is_other:
        result.pop("public_api_key", None)
    for name, value in page.items():
        before = result.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            result[name] = {**before, **value}
        else:
            result[name] = value
    return result


def _override(number: int, entry: object) -> Override:
    if not isinstance(entry, dict):
        raise ValidationError(f"entry {number} must be a mapping with 'match' and other options")
    options = dict(entry)
    try:
        match = Patterns().run_validation(options.pop("match", None))
    except ValidationError as error:
        raise ValidationError(f"entry {number}: 'match' {error}") from None
    if match is None or not match.lines:
        raise ValidationError(f"entry {number} needs 'match': patterns for the pages it applies to")
    return Override(match, options)
