"""A token endpoint with Flask like the vendor's documentation: one login for each request."""

from __future__ import annotations

import os
from typing import Any

import requests
from flask import Flask  # type: ignore[import-not-found]

KEY = os.environ["AVATAR_API_KEY"]
LOGIN_URL = os.environ["SENTIFYD_BACKEND"] + "/api/login"


def request_tokens() -> tuple[dict[str, Any], int]:
    try:
        answer = requests.post(LOGIN_URL, json={"avatar_api_key": KEY}, timeout=10)
        found = answer.json()
        if answer.status_code != 200:
            return {"error": "Authentication failed", "details": found}, answer.status_code
        grant = found["data"]
        tokens = {"accessToken": grant["access_token"], "refreshToken": grant["refresh_token"]}
    except Exception:  # noqa: BLE001 - the documentation describes 500 for every failure
        return {"error": "Internal server error"}, 500
    return {"tokens": tokens, "avatarParameters": grant["avatar_params"]}, 200


app = Flask(__name__)
app.add_url_rule("/request_tokens", view_func=request_tokens)
