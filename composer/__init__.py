"""Train small adapters on one frozen transformer, compose them, export them to devices."""
