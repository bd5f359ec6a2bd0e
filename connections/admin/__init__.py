"""The pages of the configuration. The connection's own is registered by syncer/admin, which adds how it runs."""

from connections.admin import account, client, key, mapping, rule

__all__ = ["account", "client", "key", "mapping", "rule"]
