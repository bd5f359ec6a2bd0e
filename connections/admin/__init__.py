"""The pages of the configuration. Those of connections and accounts are registered by syncer/admin, which adds how they
run."""

from connections.admin import account, client, key, mapping, rule

__all__ = ["account", "client", "key", "mapping", "rule"]
