"""What the operator has set: environment variables and files become one frozen `Settings`."""

from edge_service.settings.model import (
    AvatarSettings,
    ForwardedRules,
    JwtRules,
    Policy,
    Settings,
    SettingsError,
)

__all__ = [
    "AvatarSettings",
    "ForwardedRules",
    "JwtRules",
    "Policy",
    "Settings",
    "SettingsError",
]
