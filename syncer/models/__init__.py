"""What the engine knows and did."""

from syncer.models.book import Book, OptOut, Record
from syncer.models.counter import Counter
from syncer.models.hold import Hold
from syncer.models.lease import AccountLease, ApiUsage, Heartbeat
from syncer.models.link import Link, Side
from syncer.models.log import LogChain, LogCheckpoint, SyncLog
from syncer.models.run import Cancellation, Change, SyncRun
from syncer.models.webhook import Delivery, Webhook, WebhookSecret

__all__ = [
    "AccountLease",
    "ApiUsage",
    "Book",
    "Cancellation",
    "Change",
    "Counter",
    "Delivery",
    "Heartbeat",
    "Hold",
    "Link",
    "LogChain",
    "LogCheckpoint",
    "OptOut",
    "Record",
    "Side",
    "SyncLog",
    "SyncRun",
    "Webhook",
    "WebhookSecret",
]
