"""Storing things: one atomic writer, weights, methods, adapters, pipelines, model cards."""
