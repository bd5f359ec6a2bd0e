"""The side door of a stand-in that runs as a program of its own."""

import json
from typing import Any
from urllib.request import Request, urlopen


def side_door(url: str, method: str, path: str, body: object = None) -> Any:
    """What people in front of the app do there (side_door.py of each). Raises HTTPError, URLError."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(f"{url}/_sandbox/{path}", data, {"Content-Type": "application/json"}, method=method)
    with urlopen(request, timeout=30) as reply:
        answer: Any = json.load(reply)
    return answer


def answers(url: str) -> bool:
    try:
        side_door(url, "GET", "levers")
    except OSError:  # URLError and HTTPError are among them
        return False
    return True
