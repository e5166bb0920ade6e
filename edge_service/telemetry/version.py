"""The version of the installed distribution."""

from __future__ import annotations

import importlib.metadata

__all__ = ["installed_version"]


def installed_version() -> str:
    """The version, or `unknown` if the distribution's metadata is not installed.

    Some tools that bundle functions for serverless platforms remove it.
    """
    try:
        return importlib.metadata.version("mkdocs-sentifyd")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
