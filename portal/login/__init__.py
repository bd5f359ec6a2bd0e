"""Logging in: who is let in, how often somebody may try, the second factor, and what the history says of it."""
