"""devstack.endurance: the whole system under mixed load for a long time, while its parts are killed, hung and replaced.

    python -m devstack.endurance --minutes 30 [--seed N] [--clients 8]

The room's rule: every answer is verified as a relying party does, under a strict policy and with a fresh challenge, and
its content compared with what the stand-in must have said to exactly this request. Nothing is retried: each call ends
as one of the outcomes of `ledger`, and an outcome that no event excuses breaks the run.
"""
