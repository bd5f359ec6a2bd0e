"""A faithful local stand-in for Mailchimp's log-in and Marketing API (`python -m sandbox.mailchimp --port 8103`).

Not there: campaigns, segments, /batches (asynchronous operations), interest groups but for their empty list.
"""

from sandbox.exchange import Seen
from sandbox.mailchimp.app import KEY, MailchimpApp
from sandbox.mailchimp.audience import Audience, id_of
from sandbox.mailchimp.levers import Fault, Levers
from sandbox.serving import serve, server

__all__ = ["KEY", "Audience", "Fault", "Levers", "MailchimpApp", "Seen", "id_of", "serve", "server"]
