"""What apps with tags have in common."""

from collections.abc import Iterable


def once(tags: Iterable[str]) -> list[str]:
    """Trimmed, without empty ones, the first spelling of each."""
    kept: dict[str, str] = {}
    for tag in tags:
        if tag.strip():
            kept.setdefault(tag.strip().casefold(), tag.strip())
    return list(kept.values())
