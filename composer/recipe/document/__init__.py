"""A document of YAML as nodes that know where they stand."""
