"""The enclave image, booted in an emulated Nitro host. `make e2e` runs these; `make test` does not: they take minutes."""
