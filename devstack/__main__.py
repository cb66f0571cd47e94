"""`python -m devstack run|serve [--live] [--port N]`: the main job on a laptop, or the stack left running."""

import argparse
import json
import shlex
import signal
import sys
from typing import Any

import requests

from devstack import show
from devstack.stack import Stack

REST = "https://ec.europa.eu/taxation_customs/vies/rest-api"
DEFAULT_PORT = 5001


def lookup(country: str, number: str) -> dict[str, Any]:
    """Return the call that asks VIES (REST) for one VAT number."""
    return {
        "url": f"{REST}/check-vat-number",
        "method": "POST",
        "headers": {"Content-Type": "application/json", "Accept": "application/json"},
        "body": json.dumps({"countryCode": country, "vatNumber": number}),
    }


LOOKUPS = {
    "A VAT number that is valid": lookup("PT", "507172230"),
    "A VAT number that is not": lookup("PT", "999999990"),
    "A request that the policy refuses": {"url": "https://ec.europa.eu/eurostat/api", "method": "GET", "headers": {}},
}


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m devstack")
    parser.add_argument("command", choices=("run", "serve"))
    parser.add_argument("--live", action="store_true", help="ask the real upstreams (needs the internet)")
    parser.add_argument("--port", type=int, default=0, help="the parent's port; serve defaults to 5001")
    options = parser.parse_args(arguments)
    port = options.port or (DEFAULT_PORT if options.command == "serve" else 0)
    with Stack(live=options.live, port=port, quiet=options.command == "run") as stack:
        return run(stack) if options.command == "run" else serve(stack)


def run(stack: Stack) -> int:
    """Do the three lookups and print what came of them. Returns 0 when each ended as it should."""
    ended_well = []
    for title, call in LOOKUPS.items():
        answer = requests.post(f"{stack.url}/attest/fetch", json=call, timeout=60)
        reply = answer.json()
        show.heading(title)
        show.asked(call)
        show.answered(answer.status_code, reply)
        refused = reply.get("status") == 403 and "attestation" not in reply
        ended_well.append(refused if "refuses" in title else reply.get("success") is True)
    print()
    return 0 if all(ended_well) else 1


def serve(stack: Stack) -> int:
    """Leave the stack running until it is interrupted."""
    call = json.dumps(LOOKUPS["A VAT number that is valid"])
    print(f"The parent answers at {stack.url}. Try:\n", flush=True)
    print(
        f"curl -s {stack.url}/attest/fetch -H 'Content-Type: application/json' -d {shlex.quote(call)}\n",
        flush=True,
    )
    print("Ctrl-C ends it.", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print("\nstopping", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
