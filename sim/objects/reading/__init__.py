"""Mesh files of every dialect: read as scenes whose sizes are right, or refused in one sentence."""
