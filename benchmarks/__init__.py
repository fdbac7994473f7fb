"""Measurements of speed and quality, beside what a user would pick instead."""
