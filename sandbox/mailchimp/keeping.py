"""The state of the stand-in over a restart."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sandbox.mailchimp.audience import Audience, Member


def save(file: Path | None, audiences: Mapping[str, Audience]) -> None:
    if file is None:
        return
    state = {id: of(audience) for id, audience in audiences.items()}
    new = file.with_suffix(".new")
    new.touch(0o600)
    new.write_text(json.dumps(state))
    os.replace(new, file)


def of(audience: Audience) -> dict[str, Any]:
    return {
        "fields": audience.fields,
        "members": [asdict(one) for one in audience.members.values()],
        "forgotten": sorted(audience.forgotten),
        "tags": audience.all_tags(),
        "hooks": audience.hooks,
    }


def load(file: Path | None, audiences: Mapping[str, Audience]) -> None:
    """Audiences that are not there any more are left out."""
    if file is None or not file.exists():
        return
    for id, kept in json.loads(file.read_text()).items():
        if id in audiences:
            audience = audiences[id]
            audience.fields, audience.forgotten = kept["fields"], set(kept["forgotten"])
            audience.members = {one.id: one for one in (Member(**member) for member in kept["members"])}
            audience.all_tags().update(kept["tags"])
            audience.hooks = kept["hooks"]
