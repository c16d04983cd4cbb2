"""`make bench`, or `python -m bench <figure> …`: measure beside the floors, write bench/results.json and docs/performance.md."""

import importlib
import json
import sys
import time

from bench import report
from bench.ground import ground

# In this order; names are the modules'.
FIGURES = (
    "home_page",
    "command",
    "event_handled",
    "projection",
    "relay",
    "commit_to_consumer",
    "webhook",
    "whole_system",
    "list_page",
    "billing_at_size",
    "receipt_pdf",
)


def main() -> int:
    """The command line. 1 when a bar is missed."""
    wanted = sys.argv[1:] or list(FIGURES)
    unknown = set(wanted) - set(FIGURES)
    if unknown:
        sys.exit(f"There is no figure {', '.join(sorted(unknown))}. There are: {', '.join(FIGURES)}.")
    missed = 0
    for figure in wanted:
        began = time.monotonic()
        with ground() as servers:
            rows = importlib.import_module(f"bench.{figure}").measure(servers)
        report.keep(rows, FIGURES)
        for row in rows:
            shown = row.as_json()
            missed += row.met is False
            print(json.dumps(shown, ensure_ascii=False), flush=True)
        print(f"{figure} took {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
