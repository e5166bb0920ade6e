"""The options under `plugins: - sentifyd:` in mkdocs.yml."""

from __future__ import annotations

from mkdocs.config import config_options as c
from mkdocs.config.base import Config, ConfigErrors, ConfigWarnings

from mkdocs_sentifyd import options
from mkdocs_sentifyd.keys import find_api_key

__all__ = ["LoaderConfig", "SentifydConfig"]


class LoaderConfig(Config):
    """The script that defines the element."""

    url = options.LoaderUrl()
    """Absolute URL of the script. Default: the documented loader."""

    type = c.Choice(("classic", "module"), default="classic")
    """How the browser runs it: `classic` with `defer`, or `module`."""

    integrity = options.Integrity()
    """Subresource Integrity hash that the script must have. Default: none."""

    crossorigin = c.Optional(c.Choice(("anonymous", "use-credentials")))
    """CORS mode of the request. Default: none, or `anonymous` when `integrity` is set."""


class SentifydConfig(Config):
    """Where the avatar stands and where it gets its tokens."""

    avatar_id = options.AvatarId()
    """Required. The avatar's ID, from the Sentifyd dashboard. Not the API key."""

    token_endpoint = options.TokenEndpoint()
    """Required. Absolute URL of the token service's `/request_tokens`; `https`, or `http` for a
    loopback host."""

    loader = options.Group[LoaderConfig]()
    """The script that defines the element."""

    include = options.Patterns()
    """Pages that get the avatar: gitignore-style patterns over the source path, as a list or as a
    multi-line string. Default: every page."""

    exclude = options.Patterns()
    """Pages that do not, in the same form. Default: none."""

    not_found_page = options.Flag(default=True)
    """Whether 404.html and the theme's other static HTML templates get the avatar."""

    def validate(self) -> tuple[ConfigErrors, ConfigWarnings]:
        """Refuse a secret first: no other message may come before it is off the site."""
        if name := find_api_key(self.data):
            return [(name, options.KEY_ON_THE_SITE)], []
        return super().validate()
