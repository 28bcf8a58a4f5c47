"""What the rows of a pack lead to: criteria, claims, verdict, decisions, and what changed. Needs no torch."""
