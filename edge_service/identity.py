"""The documented import path of the rules for `Settings.visitor_auth`."""

from edge_service.settings import ForwardedRules, JwtRules

__all__ = ["ForwardedRules", "JwtRules"]
