"""One file a task: what its models are asked, how answers are judged, which metric decides."""
