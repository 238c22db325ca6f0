"""Looks at a store and at lock files that change nothing: how far, which result, what changed."""
