"""python -m sandbox.google --port 8102 [--user anna@example.com ...] [--redirect-uri URL ...] [--client-id ...]
[--client-secret ...] [--feed-delay SECONDS] [--calls-per-minute N] [--state FILE] [--log FILE]"""

import argparse
from pathlib import Path

from portal.clock import SYSTEM
from sandbox.google import GoogleApp, server


def main() -> None:
    parser = argparse.ArgumentParser(prog="sandbox.google", description="A local stand-in for Google Contacts.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--user", action="append", help="a Google user; may be given again")
    parser.add_argument("--redirect-uri", action="append", default=[], help="where the log-in may send people back to")
    parser.add_argument("--client-id", default="sandbox-client")
    parser.add_argument("--client-secret", default="sandbox-client-secret")
    parser.add_argument("--feed-delay", type=float, default=120, help="seconds until sync requests see a write")
    parser.add_argument("--calls-per-minute", type=int, default=90, help="reads, and writes, of each user")
    parser.add_argument("--state", type=Path, help="keeps contacts and who gave access over a restart")
    parser.add_argument("--log", type=Path, help="gets a JSON line per request")
    given = parser.parse_args()
    app = GoogleApp(
        SYSTEM,
        given.user or ["anna@example.com"],
        client_id=given.client_id,
        client_secret=given.client_secret,
        redirect_uris=given.redirect_uri,
        state_file=given.state,
        log_file=given.log,
        feed_delay=given.feed_delay,
        reads=given.calls_per_minute,
        writes=given.calls_per_minute,
    )
    running = server(app, given.port)
    who = ", ".join(app.accounts)
    print(f"Google stand-in for {who}: http://127.0.0.1:{running.server_address[1]}", flush=True)  # noqa: T201
    try:
        running.serve_forever()
    except KeyboardInterrupt:
        running.server_close()


if __name__ == "__main__":
    main()
