"""The enclave image, booted emulated. `make e2e` runs these, `make test` does not: they take minutes."""
