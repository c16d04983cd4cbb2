"""`receipt pdf`: a receipt with the compiler warm, as billing makes it for a question; no floor but the clock."""

import time

from bench.ground import Ground
from bench.measure import RUNS, Row, absolute, percentile
from services.billing.documents import receipt_pdf
from tests import builders as make

PAGES = 40


def measure(_: Ground) -> list[Row]:
    merchant = make.merchant()
    paid = make.paid(make.invoice(make.customer(merchant)))
    receipt = paid.receipts[0]
    middle, slow = [], []
    for run in range(RUNS + 1):
        took = []
        for _page in range(PAGES):
            began = time.perf_counter()
            document = receipt_pdf(paid, receipt, merchant, None, "en")
            took.append((time.perf_counter() - began) * 1000)
            assert document.startswith(b"%PDF-")
        if run:  # the first warms up
            middle.append(percentile(took, 0.5))
            slow.append(percentile(took, 0.99))
    return [absolute("receipt pdf", "ms", middle, 25), absolute("receipt pdf p99", "ms", slow)]
