"""Error messages that need no allocation."""

from std.memory import Pointer

from .torch_abi import CUDA, Sizes, View, device_name

comptime ROOM = 512  # bytes of a message


struct Message(Movable, Writer):
    """A text of fixed capacity, because an allocation would make the library depend on Mojo's run-time
    libraries."""

    var text: Array[UInt8, ROOM]
    var length: Int
    var of_type: Bool  # a TypeError in Python, not a ValueError

    def __init__(out self):
        self.text = Array[UInt8, ROOM](fill=0)
        self.length = 0
        self.of_type = False

    def write_string(mut self, string: StringSpan):
        var at = Pointer(to=self.text).unsafe_bitcast[UInt8]()
        for byte in string.as_bytes():
            if self.length < ROOM - 1:
                at.unsafe_store(self.length, byte)
                self.length += 1

    def write_text(mut self, address: Int):
        """Writes a C string."""
        var text = Pointer[UInt8, MutAnyOrigin](unsafe_from_address=address)
        var at = Pointer(to=self.text).unsafe_bitcast[UInt8]()
        var i = 0
        while text.unsafe_load(i) and self.length < ROOM - 1:
            at.unsafe_store(self.length, text.unsafe_load(i))
            self.length += 1
            i += 1

    def write_device(mut self, view: View):
        """Writes `cuda:0`."""
        self.write(device_name(view.device))
        if view.device == CUDA:
            self.write(":", view.index)

    def write_sizes(mut self, sizes: Sizes, rank: Int):
        """Writes `[2, 4]`."""
        self.write("[")
        for i in range(rank):
            self.write(", " if i else "", sizes.unsafe_load(i))
        self.write("]")
