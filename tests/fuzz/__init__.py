"""Coverage-guided fuzz targets (atheris). Each opens with its invariant; `make fuzz` runs them all for SECONDS each."""
