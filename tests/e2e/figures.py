"""What was measured on the way, printed at the end of a run: no test judges it."""

FIGURES: list[str] = []
