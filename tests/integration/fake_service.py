"""A tiny stand-in for a service, run by the supervisor's tests: ready at once, tells what it was given, ends when told."""

import http.server
import json
import os
import signal
import sys


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


service, *arguments = sys.argv[1:]
if arguments[:1] == ["create-merchant"]:
    say(json.dumps({"merchant_id": "m1", "arguments": arguments[1:], "password": sys.stdin.read()}))
    sys.exit()
if os.environ.get("FAKE_DIES") == service:
    say("cannot work like this")
    sys.exit(7)


class Door(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path in {"/readyz", "/environment"} else 404)
        self.end_headers()
        self.wfile.write(json.dumps(dict(os.environ)).encode())

    def log_message(self, _format: str, *args: object) -> None:
        """Quiet."""


def log(msg: str, **more: str) -> None:
    line = {"ts": "2026-01-01T12:30:15.250+00:00", "level": "WARNING", "service": service, "msg": msg, **more}
    say(json.dumps(line))


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if os.environ.get("FAKE_DEAF") == service:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
log("Hello.", correlation_id="0198c0de-0000-7000-8000-00000000beef", door="open")
port = int(os.environ.get("PORTAL_HTTP_PORT") or os.environ["PORTAL_HEALTH_PORT"])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Door).serve_forever()
