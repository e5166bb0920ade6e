"""Decide which pages get an avatar, and with which options."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mkdocs_sentifyd.api_keys import KEY_ON_THE_SITE, find_api_key
from mkdocs_sentifyd.options.endpoints import LOGIN, is_login
from mkdocs_sentifyd.options.schema import PageOptionsError, SentifydConfig
from mkdocs_sentifyd.options.suggestions import suggested_pattern
from mkdocs_sentifyd.site.front_matter import PageError
from mkdocs_sentifyd.tags.embed import Avatar

if TYPE_CHECKING:
    from mkdocs_sentifyd.options.schema import PageConfig
    from mkdocs_sentifyd.preview import Preview

__all__ = ["Selection"]

IN_FRONT_MATTER = "`sentifyd` in the front matter"


class Selection:
    """The avatars of a site's pages; pages with the same options share one.

    Args:
        config: the plugin's options, validated.
        preview: a running preview that replaces token endpoint and loader.
    """

    def __init__(self, config: SentifydConfig, preview: Preview | None = None) -> None:
        self._config = config
        self._preview = preview
        self._avatars: dict[tuple[tuple[int, ...], str], Avatar] = {}

    def page(self, sources: Sequence[str], front_matter: Sequence[object]) -> Avatar | None:
        """Return the avatar of a page.

        `true` or `false` in front matter decides first, then `exclude`, then `include`. A mapping
        in front matter sets options of the avatar, but does not choose the page.

        Args:
            sources: path of the page's source below `docs_dir`, with `/` as separator; all
                possible paths if the source is unknown.
            front_matter: `sentifyd` in the front matter of the page's folders, outermost first,
                and of the page; `None` for a missing one.

        Returns:
            The avatar, or `None` for a page without one.

        Raises:
            PageError: `sentifyd` in the front matter is invalid, or overrides contradict each
                other.
        """
        wanted: bool | None = None
        layers: list[Mapping[str, Any]] = []
        for value in front_matter:
            if isinstance(value, bool):
                wanted, layers = value, []
            elif isinstance(value, Mapping):
                wanted = None
                layers.append(value)
            elif value is not None:
                raise PageError(f"{IN_FRONT_MATTER} must be true, false or a mapping of options")
        # Checked even on excluded pages, so that mistakes there are reported too.
        avatar = self._avatar(sources, layers) if layers else None
        is_chosen = self._is_chosen(sources) if wanted is None else wanted
        return (avatar or self._avatar(sources)) if is_chosen else None

    def template(self, name: str) -> Avatar | None:
        """Return the avatar of a page that the theme creates without a source, such as 404.html.

        `not_found_page` and `exclude` decide; `include` applies only to pages with a source.

        Raises:
            PageError: overrides contradict each other.
        """
        exclude = self._config.exclude
        if not self._config.not_found_page or (exclude is not None and exclude.match([name])):
            return None
        return self._avatar([name])

    def configured(self) -> Iterator[Avatar]:
        """Yield the avatar of the site's own options, and that of each override alone."""
        yield self._make((), ())
        for index in range(len(self._config.overrides)):
            yield self._make((index,), ())

    def unused(self, paths: Collection[str], docs_dir: str = "docs") -> Iterator[str]:
        """Yield a warning for each pattern that matches no page.

        Args:
            paths: source paths of all pages, and names of the theme's own pages.
            docs_dir: name of the folder of the sources.
        """
        patterns = {"include": self._config.include, "exclude": self._config.exclude}
        for number, override in enumerate(self._config.overrides, start=1):
            patterns[f"overrides, entry {number}"] = override.match
        for option, option_patterns in patterns.items():
            for line in option_patterns.unused(paths) if option_patterns else ():
                meant = suggested_pattern(line, paths, docs_dir)
                fix = f": did you mean '{meant}'?" if meant else ""
                yield f"{option}: '{line}' matches no page{fix}"

    def _is_chosen(self, sources: Sequence[str]) -> bool:
        include, exclude = self._config.include, self._config.exclude
        if exclude is not None and exclude.match(sources):
            return False
        return include is None or include.match(sources)

    def _avatar(self, sources: Sequence[str], layers: Sequence[Mapping[str, Any]] = ()) -> Avatar:
        overrides = self._config.overrides
        matching = tuple(
            index for index, override in enumerate(overrides) if override.match.match(sources)
        )
        key = (matching, repr(layers) if layers else "")
        avatar = self._avatars.get(key)
        if avatar is None:
            avatar = self._avatars[key] = self._make(matching, layers)
        return avatar

    def _make(self, matching: tuple[int, ...], layers: Sequence[Mapping[str, Any]]) -> Avatar:
        overrides = [self._config.overrides[index].options for index in matching]
        try:
            settings = self._config.page(*overrides)
        except PageOptionsError as error:
            entries = " and ".join(str(index + 1) for index in matching)
            raise PageError(f"overrides, entries {entries} together: {error}") from None
        for layer in layers:
            if name := find_api_key(layer):
                raise PageError(f"{IN_FRONT_MATTER}: '{name}': {KEY_ON_THE_SITE}")
        if layers:
            try:
                settings = self._config.page(*overrides, *layers)
            except PageOptionsError as error:
                raise PageError(f"{IN_FRONT_MATTER}: {error}") from None
            if settings.token_endpoint != self._config.token_endpoint and is_login(
                settings.token_endpoint or ""
            ):
                raise PageError(f"{IN_FRONT_MATTER}: option 'token_endpoint': {LOGIN}")
        if self._preview:
            _apply_preview(self._preview, settings)
        return Avatar(settings, self._config.behaviour)


def _apply_preview(preview: Preview, settings: PageConfig) -> None:
    """Use the local sandbox instead of Sentifyd and of the token service."""
    settings["token_endpoint"] = preview.token_endpoint
    settings["public_api_key"] = None
    settings.loader["url"] = preview.loaders[settings.component]
    # They belong to the script that the sandbox's loader replaces.
    settings.loader["integrity"] = settings.loader["crossorigin"] = None
