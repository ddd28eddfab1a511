"""Published methods, one module each. The folder is the registry: see :func:`mmlab.methods`."""
