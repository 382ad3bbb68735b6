"""Interfaces of the plug-in families: one file each, a record or a Protocol with one signature."""
