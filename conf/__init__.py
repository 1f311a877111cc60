"""The Hydra tree: one YAML per choice."""

from omegaconf import OmegaConf


def _widest_label(least: float, margin: float, opening: object) -> float:
    """Returns ``labeler.settings.widest_label``, imported late: most readers of the tree do without its libraries."""
    from labeler.settings import widest_label

    return widest_label(opening, least=least, margin=margin)


# Here, so that whoever reads the tree has it: conf/labeler asks.
OmegaConf.register_new_resolver("widest_label", _widest_label, replace=True)
