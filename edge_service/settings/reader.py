"""Reads the settings that combine several variables: avatars and visitor authentication."""

from __future__ import annotations

from pathlib import Path

from edge_service.settings.avatars_file import Entry, read_avatars_file
from edge_service.settings.environment import Environment
from edge_service.settings.rules import AvatarSettings, ForwardedRules, JwtRules
from edge_service.settings.variables import Variables

__all__ = ["read_avatars", "read_visitor_auth"]


def read_avatars(env: Environment, path: Path | None) -> dict[str, AvatarSettings]:
    """The avatars of the file, and the default avatar from the environment.

    The variables are also the defaults for the avatars in the file.

    Args:
        env: the variables; problems are added to it.
        path: `AVATARS_FILE`, or `None`.

    Returns:
        The avatars by name; `""` is the default one.
    """
    key = env.read(Variables.AVATAR_API_KEY, required=not env.has(Variables.AVATARS_FILE))
    has_key = env.has(Variables.AVATAR_API_KEY)
    avatar_id = env.read(Variables.AVATAR_ID)
    allow_any = env.read(Variables.ALLOW_ANY_ORIGIN)
    entries: dict[str, Entry] = {}
    default = None
    if path is not None:
        env.files.append(path)
        entries, default = read_avatars_file(
            path,
            allow_any=allow_any,
            has_default=has_key,
            key=key,
            problems=env.problems,
            files=env.files,
        )
        env.note(Variables.AVATARS_FILE, (entries, default))
        if not has_key:
            env.refuse(
                Variables.AVATAR_ID,
                reason="AVATAR_API_KEY is not: set avatar_id in AVATARS_FILE",
            )
    if avatar_id is not None and avatar_id in {
        key,
        *(entry.get("key") for entry in entries.values()),
    }:
        env.problems.append(
            "AVATAR_ID is the same as the API key, and an ID is public: set it to the avatar's ID, "
            "and replace the key if it was published"
        )
    own_origins = all("allowed_origins" in entry for entry in entries.values())
    common: Entry = {
        "allowed_origins": env.read(
            Variables.ALLOWED_ORIGINS,
            required=path is None or has_key or not own_origins,
            allow_any=allow_any,
        ),
        "backend": env.read(Variables.SENTIFYD_BACKEND),
        "login_path": env.read(Variables.SENTIFYD_LOGIN_PATH),
        "policy": env.read(Variables.TOKEN_POLICY),
        "login_budget": env.read(Variables.LOGIN_BUDGET),
    }
    # A missing key is already reported; the other fields are read to find further problems.
    avatars = {
        name: _avatar(name, {**common, "key": "", **entry}) for name, entry in entries.items()
    }
    if key is not None or path is None:
        avatars[""] = _avatar("", {**common, "key": key or "", "avatar_id": avatar_id})
    elif default in avatars:
        avatars[""] = avatars[default]
    return avatars


def _avatar(name: str, entry: Entry) -> AvatarSettings:
    return AvatarSettings(
        name=name,
        api_key=entry["key"],
        avatar_id=entry.get("avatar_id"),
        allowed_origins=entry["allowed_origins"] - {"*"},
        allow_any_origin="*" in entry["allowed_origins"],
        login_url=f"{entry['backend']}{entry['login_path']}",
        policy=entry["policy"],
        login_budget=entry["login_budget"],
    )


def read_visitor_auth(env: Environment) -> JwtRules | ForwardedRules | None:
    """How visitors are identified; `None` when they are not.

    Args:
        env: the variables; problems are added to it.
    """
    kind = env.read(Variables.VISITOR_AUTH)
    if kind != "jwt":
        env.refuse(
            *(Variables.JWT_JWKS_URL, Variables.JWT_ISSUER, Variables.JWT_AUDIENCE),
            Variables.JWT_COOKIE,
            reason="VISITOR_AUTH is not jwt: set VISITOR_AUTH=jwt or unset it",
        )
    if kind != "forwarded":
        env.refuse(
            Variables.FORWARDED_USER_HEADER,
            reason="VISITOR_AUTH is not forwarded: set VISITOR_AUTH=forwarded or unset it",
        )
    if kind == "jwt":
        # A missing value is already reported, so these rules are never used.
        return JwtRules(
            jwks_url=env.read(Variables.JWT_JWKS_URL) or "",
            issuer=env.read(Variables.JWT_ISSUER) or "",
            audience=env.read(Variables.JWT_AUDIENCE) or "",
            cookie=env.read(Variables.JWT_COOKIE),
        )
    if kind == "forwarded":
        return ForwardedRules(env.read(Variables.FORWARDED_USER_HEADER))
    return None
