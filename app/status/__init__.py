"""What this parent shows to people: its enclaves, what they claim to be, and how questions ended.

Rule of this folder: nothing here is proof, and the page says so. It shows names, measurements, counts and times; never
a path, a query, a body or a secret. No request for it waits for an enclave.
"""
