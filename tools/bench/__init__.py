"""Measures the firmware as it runs: heap, size, stalls, button, load on OctoPrint, time to off."""
