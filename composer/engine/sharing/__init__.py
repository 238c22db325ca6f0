"""Bundles and adapters to and from other places: a hub, a server, a bucket."""
