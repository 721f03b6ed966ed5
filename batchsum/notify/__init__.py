"""Telling people and programs what a night came to. Failing to tell fails no night."""
