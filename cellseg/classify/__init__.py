"""Verdicts on cells. Floor 3: tables in, tables out."""
