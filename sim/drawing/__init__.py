"""Pictures and pages of the world: figures, object sheets, films of attempts, scene pages."""
