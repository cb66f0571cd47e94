"""`make load`: attacks on a whole system while honest callers work, and what its promises are worth meanwhile."""
