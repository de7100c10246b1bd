"""Where a gateway keeps its state; apart from the configuration, which takes long to import."""

import os
from collections.abc import Mapping
from pathlib import Path

from gateway.document import Plain, load, mapping_at
from gateway.errors import ConfigError
from gateway.words.text import fault


def default_state_dir(gateway_id: str) -> Path:
    """/var/lib/gateway for root and for its owner, else a folder of the user's own."""
    system = Path("/var/lib/gateway")
    if os.geteuid() == 0 or os.access(system, os.W_OK):
        return system
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base, "community-gateway", gateway_id)


def state_dir_of(path: Path) -> Path:
    """Where the daemon of this configuration keeps its state; reads only what it must.

    Raises ConfigError when the file cannot be read or has no gateway id.
    """
    document = load(path)
    section: Mapping[str, Plain] = mapping_at(mapping_at(document.value).get("gateway"))
    state_dir, gateway_id = section.get("state_dir"), section.get("id")
    if isinstance(state_dir, str):
        return Path(path.parent, state_dir)
    if isinstance(gateway_id, str):
        return default_state_dir(gateway_id)
    raise ConfigError([document.problem(("gateway", "id"), *fault("config.no_gateway_id"))])
