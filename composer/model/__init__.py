"""The backbone, the adapters on it, and the arithmetic that joins them."""
