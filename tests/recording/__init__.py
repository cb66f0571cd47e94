"""A host that records everything: its wires, its log and its memory, and a search of all that for planted secrets.

Rule: what the recorder cannot see, a host could still see, so nothing is left out for convenience: every byte both ways
on every wire that passes the parent's machine, every readable page of every process of the parent.
"""
