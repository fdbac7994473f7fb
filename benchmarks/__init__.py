"""Measures speed, memory and quality, beside what a user would pick instead."""
