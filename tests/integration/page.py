"""The live page's server, asked as its script asks."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen


def ask(url: str, path: str, **body: str) -> Any:
    parts = urlsplit(url)
    token = parts.query.removeprefix("token=")
    data = json.dumps(body).encode() if body else None
    headers = {"Authorization": f"Bearer {token}"}
    with urlopen(Request(f"http://{parts.netloc}{path}", data, headers), timeout=60) as answer:
        return json.loads(answer.read())
