"""Schemas of every config, each setting declared once."""
