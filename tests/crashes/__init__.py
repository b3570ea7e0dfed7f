"""Real processes that are killed, frozen, starved and cut off, on a served emulator that counts what was made.

Not part of a plain `pytest`: `nox -s faults` runs them, or `pytest tests/crashes`.
"""
