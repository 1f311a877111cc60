"""The Hydra tree: one YAML per choice."""
