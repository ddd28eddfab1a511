"""Named miniature tasks: fixed items of worlds with a known ceiling, by version and hash."""
