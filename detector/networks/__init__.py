"""Detector networks over a feature pyramid."""
