"""Configuration: reads environment variables and files into one frozen `Settings`."""

from edge_service.settings.model import Settings, SettingsError
from edge_service.settings.policies import PolicyName
from edge_service.settings.rules import AvatarSettings, ForwardedRules, JwtRules

__all__ = [
    "AvatarSettings",
    "ForwardedRules",
    "JwtRules",
    "PolicyName",
    "Settings",
    "SettingsError",
]
