"""The forms of the admin: what can be typed, and in which words. What is saved, and whether, services decide."""
