"""One file per system that pretrains encoders on a catalogue."""
