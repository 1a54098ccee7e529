"""Finds the mines nobody may see: registers say what is allowed, satellites and meters what happens."""
