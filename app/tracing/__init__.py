"""Traces: who called whom, and how long each part took, under one trace id from the agent's server into the enclave.

Rule of this folder: a span holds names from the settings, numbers and our own words; never a URL, a path, a query, a
header, a body, or a text that a caller chose. A `traceparent` of a caller's is taken only in the form of W3C Trace
Context; `tracestate` is not passed on. OpenTelemetry is an extra: `spans` alone needs it.
"""
