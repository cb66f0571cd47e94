"""What this parent counts and measures, for Prometheus.

Rule of this folder: a label's value comes from the settings or from a literal list here, never from a caller, an
upstream or an enclave. So the number of series is bounded, and no series names a URL, a path, a query or a secret.
"""
