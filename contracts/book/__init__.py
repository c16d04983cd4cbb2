"""The message book: everything that is written out of the contracts, and the check that none of it breaks anybody.

Not part of the installed package: who subscribes to our messages reads its pages, and the schemas beside the contracts.
"""
