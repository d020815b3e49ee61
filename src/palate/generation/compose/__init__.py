"""Banners, cards and stories from an item's own picture and words."""
