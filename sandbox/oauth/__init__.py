"""A stand-in for an app's OAuth 2 server (RFC 6749, 7009, 7636), to be mounted by the stand-ins of apps.

Written from what is known of Google's (addresses, words of the errors, what a refresh gives) and not from our client.
An app whose tokens never end and that knows neither refresh nor PKCE is the same server with `lifetime=None`.
"""

from sandbox.oauth.grants import Grant, OAuthLevers
from sandbox.oauth.page import Answer
from sandbox.oauth.server import OAuthApp, OAuthServer

__all__ = ["Answer", "Grant", "OAuthApp", "OAuthLevers", "OAuthServer"]
