"""python -m sandbox.mailchimp --port 8103 [--audience ID=NAME ...] [--api-key KEY] [--redirect-uri URL ...]
[--client-id ...] [--client-secret ...] [--state FILE] [--log FILE]"""

import argparse
from pathlib import Path

from portal.clock import SYSTEM
from sandbox.mailchimp import KEY, MailchimpApp, server


def main() -> None:
    parser = argparse.ArgumentParser(prog="sandbox.mailchimp", description="A local stand-in for Mailchimp.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--audience", action="append", help="ID=NAME; may be given again")
    parser.add_argument("--api-key", default=KEY)
    parser.add_argument("--redirect-uri", action="append", default=[], help="where the log-in may send people back to")
    parser.add_argument("--client-id", default="sandbox-client")
    parser.add_argument("--client-secret", default="sandbox-client-secret")
    parser.add_argument("--state", type=Path, help="keeps the members over a restart")
    parser.add_argument("--log", type=Path, help="gets a JSON line per request")
    given = parser.parse_args()
    named = dict(one.split("=", 1) for one in given.audience or [])
    app = MailchimpApp(
        SYSTEM,
        named or None,
        api_key=given.api_key,
        client_id=given.client_id,
        client_secret=given.client_secret,
        redirect_uris=given.redirect_uri,
        state_file=given.state,
        log_file=given.log,
    )
    running = server(app, given.port)
    who = ", ".join(one.name for one in app.audiences.values())
    print(f"Mailchimp stand-in for {who}: http://127.0.0.1:{running.server_address[1]}", flush=True)  # noqa: T201
    try:
        running.serve_forever()
    except KeyboardInterrupt:
        running.server_close()


if __name__ == "__main__":
    main()
