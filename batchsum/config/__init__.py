"""Taxonomy names: looked up, locked, and watched for moving."""
