"""The ESP8266's boot loader as the real esptool meets it: enough to read and write its flash.

One object stands for the chip while its button was held at power-on. It gets the bytes of the
serial line and gives those to be sent back. What esptool uploads as its stub is not run; from then
on the stub's own commands are answered here. A register that nobody has written reads 0.
"""

import hashlib
import struct
import zlib

SYNC, READ_REG, WRITE_REG = 0x08, 0x0A, 0x09
MEM_BEGIN, MEM_END, MEM_DATA = 0x05, 0x06, 0x07
FLASH_BEGIN, FLASH_DATA, FLASH_END = 0x02, 0x03, 0x04
PACKED_BEGIN, PACKED_DATA, PACKED_END, MD5 = 0x10, 0x11, 0x12, 0x13
SIZES, BAUD = 0x0B, 0x0F
ERASE, READ = 0xD0, 0xD2

SPI_COMMAND, SPI_USER2, SPI_DATA = 0x60000200, 0x60000224, 0x60000240
READ_IDENTITY = 0x9F  # asked of the flash itself


class Loader:
    """`flash`: a bytearray or mmap of the flash's size, changed in place. `mac`: 6 bytes.

    `worn`: an address at which writing leaves 0; None: the flash is good.
    """

    def __init__(self, flash, mac=b"\x5c\xcf\x7f\xab\x12\x8a"):
        self.flash, self.worn = flash, None
        self.stub = False
        self.erased = 0  # times
        self.registers = {
            0x40001000: 0xFFF0C101,  # says: I am an ESP8266
            0x3FF00050: mac[5] << 24,
            0x3FF00054: mac[3] << 8 | mac[4],
            0x3FF0005C: mac[0] << 16 | mac[1] << 8 | mac[2],
            0x60000014: 26_000_000 * 2 // 115200,  # a crystal of 26 MHz
        }
        self._line = b""
        self._reading = (0, 0, 0)  # start, length, piece: what the stub sends

    def feed(self, data):
        """What came from the PC; returns what the chip sends."""
        self._line += data
        sent = b""
        while True:
            start = self._line.find(b"\xc0")
            end = self._line.find(b"\xc0", start + 1)
            if start < 0 or end < 0:
                return sent
            packet, self._line = self._line[start + 1 : end], self._line[end + 1 :]
            if not packet:  # the end of what was lost, and the start of the next
                self._line = b"\xc0" + self._line
                continue
            packet = packet.replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
            sent += self._packet(packet)

    def _packet(self, packet):
        if self._reading[1] and len(packet) == 4:
            return self._read_on(*struct.unpack("<I", packet))
        if len(packet) < 8 or packet[0]:
            return b""
        _, what, length, _ = struct.unpack("<BBHI", packet[:8])
        body = packet[8 : 8 + length]
        words = struct.unpack(f"<{min(length, 20) // 4}I", body[: min(length, 20) // 4 * 4])
        if what == SYNC:
            return 8 * reply(what, 0 if self.stub else 0x20120707)
        if what == READ_REG:
            return reply(what, self.registers.get(words[0], 0))
        if what == WRITE_REG:
            self.registers[words[0]] = words[1]
            if words[0] == SPI_COMMAND:
                self._ask_flash()
            return reply(what)
        if what == MEM_END:
            self.stub = True
            return reply(what) + framed(b"OHAI")
        if what in (MEM_BEGIN, MEM_DATA):
            return reply(what)
        if not self.stub:
            return reply(what, status=b"\x01\x05")
        return self._stub(what, words, body)

    def _ask_flash(self):
        """The flash's own answer, in the controller's data register; it is done at once."""
        self.registers[SPI_COMMAND] = 0
        if self.registers.get(SPI_USER2, 0) & 0xFF == READ_IDENTITY:
            size = len(self.flash).bit_length() - 1
            self.registers[SPI_DATA] = size << 16 | 0x40EF

    def _stub(self, what, words, body):
        flash = self.flash
        if what == ERASE:
            flash[:] = b"\xff" * len(flash)
            self.erased += 1
        elif what in (PACKED_BEGIN, FLASH_BEGIN):
            self._at, self._unpack = words[3], zlib.decompressobj()
        elif what in (PACKED_DATA, FLASH_DATA):
            data = body[16:] if what == FLASH_DATA else self._unpack.decompress(body[16:])
            data = data[: len(flash) - self._at]  # the last block is filled up
            flash[self._at : self._at + len(data)] = data
            self._at += len(data)
            if self.worn is not None:
                flash[self.worn] = 0
        elif what == MD5:
            digest = hashlib.md5(flash[words[0] : words[0] + words[1]]).digest()
            return reply(what, more=digest)
        elif what == READ:
            self._reading = words[0], words[1], words[2]
            return reply(what) + self._read_on(0)
        elif what == FLASH_END:
            self.stub = words[0] == 1  # else back to the loader in the chip's ROM
        elif what not in (PACKED_END, SIZES, BAUD):
            return reply(what, status=b"\x01\x05")
        return reply(what)

    def _read_on(self, done):
        start, length, size = self._reading
        if done < length:
            return framed(bytes(self.flash[start + done : start + min(done + size, length)]))
        self._reading = (0, 0, 0)
        return framed(hashlib.md5(self.flash[start : start + length]).digest())


def reply(what, value=0, more=b"", status=b"\x00\x00"):
    body = more + status
    return framed(struct.pack("<BBHI", 1, what, len(body), value) + body)


def framed(packet):
    return b"\xc0" + packet.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"
