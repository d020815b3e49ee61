"""Models that rank shown items: click-through prediction, news."""
