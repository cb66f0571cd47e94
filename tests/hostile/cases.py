"""The corpus: every case by name. Three rooms: what is legal, what is malformed, what breaks."""

from __future__ import annotations

from tests.hostile import cases_broken, cases_legal, cases_malformed
from tests.hostile.case import Case

CASES: tuple[Case, ...] = cases_legal.CASES + cases_malformed.CASES + cases_broken.CASES
