"""What a bug report does not tell: passwords, secrets and tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote

from fakevm.neutron.login import Login

HIDDEN = "***"

# What Compose's files have where nobody gives a password (compose/common.yml). Everybody knows it,
# and half of all lines have the word.
PUBLIC = "neutron"

# A container's variable with something that nobody else is to know.
_SECRET_VARIABLE = re.compile(r"(?i)(password|secret|token)$")

# A host's, with its request for a token: of a Neutron elsewhere nothing else has that password.
REQUEST_VARIABLE = "FAKEVM_KEYSTONE_LOGIN"

# Who logs in with a URL, and his password.
_LOGIN = re.compile(r"(://)([^\s/@:\"'\\]*)(:[^\s/@\"'\\]*)?@")

_QUOTES = r"[\\\"']*"
_VALUE = r"[^\s\\\"',;&]+"

_PATTERNS = tuple(
    re.compile(f"(?i)({pattern}){_VALUE}")
    for pattern in (
        # Of a request's headers, in any of the ways to show them.
        rf"x[-_](?:[a-z]+[-_])?token{_QUOTES}[ \t]*[:=,][ \t]*b?{_QUOTES}",
        rf"\bauthorization{_QUOTES}[ \t]*[:=,][ \t]*b?{_QUOTES}(?:[a-z]+[ \t]+)?",
        rf"(?:password|passwd|secret|auth_key){_QUOTES}[ \t]*[:=][ \t]*b?{_QUOTES}(?![{{\[])",
    )
)

# A token of Keystone's, wherever it stands.
_FERNET = re.compile(r"gAAAA[\w=-]{40,}")

# A text that has none of these has nothing that a pattern finds.
_MARKS = ("://", "token", "authorization", "passw", "secret", "auth_key", "gaaaa")


def secrets_of(environments: Iterable[Mapping[str, str]]) -> set[str]:
    """Return what containers were given that nobody else is to know."""
    found = set()
    for environment in environments:
        for name, value in environment.items():
            if _SECRET_VARIABLE.search(name):
                found.add(value)
            found |= {(password or "")[1:] for _, _, password in _LOGIN.findall(value)}
            if name == REQUEST_VARIABLE and value:
                found.add(Login.of_request("", value).password)
    return found - {"", PUBLIC}


def hiding(secrets: Iterable[str]) -> Callable[[str], str]:
    """Return what hides these in a text of whole lines, and what looks like others."""
    # As they are, in a URL, in JSON. The longest first: one may be a part of another.
    written = {
        form
        for secret in secrets
        for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1])
    }
    ordered = sorted(written, key=len, reverse=True)

    def hide(text: str) -> str:
        for secret in ordered:
            text = text.replace(secret, HIDDEN)
        lowered = text.lower()
        if any(mark in lowered for mark in _MARKS):
            text = _LOGIN.sub(_without_login, text)
            text = _FERNET.sub(HIDDEN, text)
            for pattern in _PATTERNS:
                text = pattern.sub(rf"\1{HIDDEN}", text)
        return text

    return hide


def _without_login(found: re.Match[str]) -> str:
    # Where there is one word alone, it is a token.
    who = f"{found[2]}:" if found[3] else ""
    return f"{found[1]}{who}{HIDDEN}@"
