"""python -m sandbox.salesmate --port 8101 [--subdomain acme] [--session-key ...] [--state FILE] [--log FILE]"""

import argparse
from pathlib import Path

from portal.clock import SYSTEM
from sandbox.salesmate import SalesmateApp, server


def main() -> None:
    parser = argparse.ArgumentParser(prog="sandbox.salesmate", description="A local stand-in for Salesmate.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--subdomain", default="acme")
    parser.add_argument("--session-key", default="sandbox-session-key")
    parser.add_argument("--calls-per-hour", type=int, default=1500)
    parser.add_argument("--state", type=Path, help="keeps the contacts over a restart")
    parser.add_argument("--log", type=Path, help="gets a JSON line per request")
    given = parser.parse_args()
    app = SalesmateApp(
        given.subdomain,
        given.session_key,
        SYSTEM,
        calls_per_hour=given.calls_per_hour,
        state_file=given.state,
        log_file=given.log,
    )
    running = server(app, given.port)
    print(f"Salesmate stand-in for {app.link}: http://127.0.0.1:{running.server_address[1]}", flush=True)  # noqa: T201
    try:
        running.serve_forever()
    except KeyboardInterrupt:
        running.server_close()


if __name__ == "__main__":
    main()
