"""What `make test` leaves to `make chaos`: a run per safeguard that is switched off takes minutes."""

import os

collect_ignore = [] if os.environ.get("CHAOS") == "full" else ["test_sabotage.py"]
