"""Parts of the systems that write in several steps: copy search, questions, reasons, sessions with a person."""
