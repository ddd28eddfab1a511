"""Data: a registry of sources with hashes and licences, safe downloading, and a loader or a synthetic world per set."""
