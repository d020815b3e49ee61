"""Matching: which items for this user?"""
