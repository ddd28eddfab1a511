"""Published methods, one module each. The folder is the registry: :func:`mmlab.list_methods` reads its cards."""
