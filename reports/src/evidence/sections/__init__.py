"""The sections of the evidence: one folder a question, discovered by `core.section`."""
