"""The plug on a PC: virtual hardware, a stand-in for OctoPrint and its Pi, a broker."""
