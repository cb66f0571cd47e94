"""The fault matrix: what is broken, when, and what is promised of it, as data; one runner that breaks it and looks.

`matrix.toml` has the rows, `registry.py` the ways to break things, `play.py` the runner. `make faults` plays all rows,
`pytest tests/faults -k ID` one; `python -m tests.faults` writes the table in SECURITY.md.
"""
