"""Figures: one module computes them all, so every page, file and command agrees."""
