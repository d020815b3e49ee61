"""The allocator's setting: it can be made, twice, and says where it cannot."""

import sys

from palate.core.allocator import keep_freed_memory


def test_freed_memory_is_kept_where_glibc_allows():
    assert keep_freed_memory() == keep_freed_memory()


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory.__wrapped__() is False
