"""Figures for pages, commands and the API; reads only."""
