"""Which page gets an avatar, and with which options."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mkdocs_sentifyd.api_keys import KEY_ON_THE_SITE, find_api_key
from mkdocs_sentifyd.options.schema import PageOptionsError, SentifydConfig
from mkdocs_sentifyd.site.front_matter import PageError
from mkdocs_sentifyd.tags.embed import Avatar

if TYPE_CHECKING:
    from mkdocs_sentifyd.options.schema import PageConfig
    from mkdocs_sentifyd.preview import Preview

__all__ = ["Selection"]

FRONT = "`sentifyd` in the front matter"


class Selection:
    """The avatars of a site's pages; pages with the same options share one.

    Args:
        config: the plugin's options, valid.
        preview: a stand-in that takes the place of endpoint and loader.
    """

    def __init__(self, config: SentifydConfig, preview: Preview | None = None) -> None:
        self._config = config
        self._preview = preview
        self._avatars: dict[tuple[tuple[int, ...], str], Avatar] = {}

    def page(self, sources: Sequence[str], fronts: Sequence[object]) -> Avatar | None:
        """The avatar of a page.

        `true` or `false` in front matter decides, else `exclude`, else `include`; a mapping in
        front matter changes what the avatar is, not whether there is one.

        Args:
            sources: path of the page's source below `docs_dir`, with `/` between its parts;
                several, where it is not known which of them it is.
            fronts: `sentifyd` in the front matter of the page's folders and in its own, the
                outermost first; `None` where there is none.

        Returns:
            The avatar, or `None` for a page without one.

        Raises:
            PageError: `sentifyd` in the front matter cannot be used, or overrides do not agree.
        """
        wanted: bool | None = None
        layers: list[Mapping[str, Any]] = []
        for front in fronts:
            if isinstance(front, bool):
                wanted, layers = front, []
            elif isinstance(front, Mapping):
                wanted = None
                layers.append(front)
            elif front is not None:
                raise PageError(f"{FRONT} must be true, false or a mapping of options")
        # An error on a page that is left out is reported too.
        avatar = self._avatar(sources, layers) if layers else None
        is_chosen = self._is_chosen(sources) if wanted is None else wanted
        return (avatar or self._avatar(sources)) if is_chosen else None

    def template(self, name: str) -> Avatar | None:
        """The avatar of a page that the theme makes without a source, such as 404.html.

        `not_found_page` decides, and `exclude`; `include` is for pages that have a source.

        Raises:
            PageError: overrides do not agree.
        """
        exclude = self._config.exclude
        if not self._config.not_found_page or (exclude is not None and exclude.match([name])):
            return None
        return self._avatar([name])

    def unused(self, paths: Collection[str]) -> Iterator[str]:
        """What is written for pages that are not there, a line each.

        Args:
            paths: source paths of all pages, and names of the theme's own.
        """
        patterns = {"include": self._config.include, "exclude": self._config.exclude}
        for number, override in enumerate(self._config.overrides, start=1):
            patterns[f"overrides, entry {number}"] = override.match
        for option, written in patterns.items():
            for line in written.unused(paths) if written else ():
                yield f"{option}: '{line}' matches no page"

    def _is_chosen(self, sources: Sequence[str]) -> bool:
        include, exclude = self._config.include, self._config.exclude
        if exclude is not None and exclude.match(sources):
            return False
        return include is None or include.match(sources)

    def _avatar(self, sources: Sequence[str], fronts: Sequence[Mapping[str, Any]] = ()) -> Avatar:
        overrides = self._config.overrides
        matching = tuple(
            index for index, override in enumerate(overrides) if override.match.match(sources)
        )
        key = (matching, repr(fronts) if fronts else "")
        avatar = self._avatars.get(key)
        if avatar is None:
            avatar = self._avatars[key] = self._make(matching, fronts)
        return avatar

    def _make(self, matching: tuple[int, ...], fronts: Sequence[Mapping[str, Any]]) -> Avatar:
        layers = [self._config.overrides[index].options for index in matching]
        try:
            settings = self._config.page(*layers)
        except PageOptionsError as error:
            entries = " and ".join(str(index + 1) for index in matching)
            raise PageError(f"overrides, entries {entries} together: {error}") from None
        for front in fronts:
            if name := find_api_key(front):
                raise PageError(f"{FRONT}: '{name}': {KEY_ON_THE_SITE}")
        if fronts:
            try:
                settings = self._config.page(*layers, *fronts)
            except PageOptionsError as error:
                raise PageError(f"{FRONT}: {error}") from None
        if self._preview:
            _use(self._preview, settings)
        return Avatar(settings, self._config.behaviour)


def _use(preview: Preview, settings: PageConfig) -> None:
    """Let a stand-in take the place of Sentifyd and of the token service."""
    settings["token_endpoint"] = preview.token_endpoint
    settings["public_api_key"] = None
    settings.loader["url"] = preview.loaders[settings.component]
    # They were those of the script that is not loaded now.
    settings.loader["integrity"] = settings.loader["crossorigin"] = None
