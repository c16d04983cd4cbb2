"""A strict stand-in for Stripe on loopback: the API the official SDK talks to, hosted Checkout, signed webhooks.

For laptops and tests only; no service imports it. State is one SQLite file, money movements also go to a ledger file.
"""

API_VERSION = "2026-10-28.endive"
