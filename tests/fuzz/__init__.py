"""Coverage-guided fuzz targets: one file each, which opens with its invariants. `make fuzz` runs them all.

A target is plain Python: `tests/test_fuzz_corpora.py` runs it over its corpus without atheris, in every `make test`.
"""
