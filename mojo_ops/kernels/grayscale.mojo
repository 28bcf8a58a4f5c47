"""Op grayscale: y = trunc(0.21 R + 0.71 G + 0.07 B), uint8 [H, W, 3] -> [H, W].

Pixels are interleaved: one load reads 16 of them in 64 bytes (of which 48 are
used), and three shuffles separate the colours. With AVX2 four pixels lie in each
half of a register, from where one instruction moves a colour to its lanes.
"""

from max.gpu import barrier, block_idx, thread_idx
from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from max.gpu.memory import AddressSpace
from std.math import ceildiv
from std.memory import bitcast, stack_allocation
from std.utils import IndexList

from .common.gpu import BLOCK, aligned, gpu_item
from .common.parallel import split_flat
from .common.torch_op import Call, Message, Shape, TorchOp
from .common.vectors import F32, LANES, Ptr

comptime U8 = DType.uint8
comptime PIXELS = 16
comptime WINDOW = 64  # bytes: the power of two that holds 16 pixels


@always_inline
def gray[
    width: SIMDLength
](red: SIMD[U8, width], green: SIMD[U8, width], blue: SIMD[U8, width]) -> SIMD[U8, width]:
    return (red.cast[F32]() * 0.21 + green.cast[F32]() * 0.71 + blue.cast[F32]() * 0.07).cast[U8]()


@always_inline
def gray_pixel(y: Ptr[U8], image: Ptr[U8], i: Int):
    y.unsafe_store(
        i,
        gray(
            image.unsafe_load(3 * i),
            image.unsafe_load(3 * i + 1),
            image.unsafe_load(3 * i + 2),
        ),
    )


def every_third[channel: Int]() -> IndexList[WINDOW]:
    var picks = IndexList[WINDOW](0)
    for i in range(PIXELS):
        picks[i] = 3 * i + channel
    return picks


@always_inline
def gray_window(pixels: SIMD[U8, WINDOW]) -> SIMD[U8, PIXELS]:
    return gray(
        pixels.shuffle[mask=every_third[0]()]().slice[PIXELS](),
        pixels.shuffle[mask=every_third[1]()]().slice[PIXELS](),
        pixels.shuffle[mask=every_third[2]()]().slice[PIXELS](),
    )


comptime QUARTER = 4  # pixels in each half of a register
comptime REACH = 18  # pixels that are read for 16 results


def spread[channel: Int]() -> IndexList[8 * QUARTER]:
    """The bytes of a colour into 32-bit lanes; the others come from a vector of zeros."""
    var picks = IndexList[8 * QUARTER](8 * QUARTER)
    for half in range(2):
        for i in range(QUARTER):
            picks[4 * (QUARTER * half + i)] = PIXELS * half + 3 * i + channel
    return picks


@always_inline
def gray_halves(image: Ptr[U8]) -> SIMD[F32, 2 * QUARTER]:
    var pixels = image.unsafe_load[width=PIXELS](0).join(image.unsafe_load[width=PIXELS](3 * QUARTER))
    var zeros = SIMD[U8, 2 * PIXELS](0)
    var red = bitcast[DType.int32, 8](pixels.shuffle[mask=spread[0]()](zeros))
    var green = bitcast[DType.int32, 8](pixels.shuffle[mask=spread[1]()](zeros))
    var blue = bitcast[DType.int32, 8](pixels.shuffle[mask=spread[2]()](zeros))
    return red.cast[F32]() * 0.21 + green.cast[F32]() * 0.71 + blue.cast[F32]() * 0.07


def grayscale_cpu(y: Ptr[U8], image: Ptr[U8], n: Int):
    def chunk(first: Int, last: Int) {var}:
        var i = first
        # Loads reach past the pixels and must end inside the image.
        comptime HALVES = LANES == 2 * QUARTER
        comptime READ = REACH if HALVES else ceildiv(WINDOW, 3)
        var windows = min(last - PIXELS, n - READ)
        while i <= windows:
            var at = image.unsafe_offset(3 * i)
            comptime if HALVES:
                var gray = gray_halves(at).join(gray_halves(at.unsafe_offset(6 * QUARTER)))
                y.unsafe_store(i, gray.cast[U8]())
            else:
                y.unsafe_store(i, gray_window(at.unsafe_load[width=WINDOW](0)))
            i += PIXELS
        while i < last:
            gray_pixel(y, image, i)
            i += 1

    split_flat(chunk, n)


def grayscale_kernel[vector: Bool](y: Ptr[U8], image: Ptr[U8], pixels: Int64):
    """One thread for 16 pixels. With `vector` they are three vectors of 16 bytes: neighbouring threads load
    neighbouring vectors and exchange them through shared memory."""
    var n = Int(pixels)
    var first = gpu_item() * PIXELS
    comptime if vector:
        comptime TILE = 3 * BLOCK * PIXELS
        var tile = stack_allocation[TILE, U8, alignment=PIXELS, address_space=AddressSpace.SHARED]()
        var of_block = Int(block_idx.x) * TILE
        comptime for part in range(3):
            var i = (part * BLOCK + Int(thread_idx.x)) * PIXELS
            if of_block + i + PIXELS <= 3 * n:
                var v = image.unsafe_load[width=PIXELS, alignment=PIXELS](of_block + i)
                tile.unsafe_store[alignment=PIXELS](i, v)
        barrier()
        if first + PIXELS <= n:
            var window = SIMD[U8, WINDOW](0)
            comptime for part in range(3):
                var i = (3 * Int(thread_idx.x) + part) * PIXELS
                window = window.insert[offset=part * PIXELS](
                    tile.unsafe_load[width=PIXELS, alignment=PIXELS](i)
                )
            y.unsafe_store[alignment=PIXELS](first, gray_window(window))
            return
    for i in range(first, min(first + PIXELS, n)):
        gray_pixel(y, image, i)


def grayscale_gpu(y: Ptr[U8], image: Ptr[U8], n: Int, ctx: DeviceContext) raises:
    @always_inline
    def launch[vector: Bool]() raises {var, imm ctx}:
        ctx.enqueue_function[grayscale_kernel[vector]](
            y,
            image,
            Int64(n),
            grid_dim=ceildiv(n, BLOCK * PIXELS),
            block_dim=BLOCK,
        )

    if aligned(y) and aligned(image):
        launch[True]()
    else:
        launch[False]()


# ---- binding ----


struct Op(TorchOp):
    comptime NAME: StaticString = "grayscale"
    comptime INPUTS: List[StaticString] = ["image"]
    comptime OUTPUTS: List[StaticString] = ["out"]
    comptime SCALARS = 0
    comptime DTYPES: List[DType] = [U8]

    @staticmethod
    def check(call: Call) raises Message:
        call.require_rank(0, 3, "H, W, 3")
        if call.input(0).size(2) != 3:
            var message = call.refuse_shape(0)
            message.write("[H, W, 3]")
            raise message^

    @staticmethod
    def shape(call: Call, output: Int) -> Shape:
        return Shape(call.input(0), 2)

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "the height and width of image"

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        var y = call.output(0).pointer[U8]()
        var image = call.input(0).pointer[U8]()
        var n = call.output(0).numel
        comptime if is_gpu[target]():
            grayscale_gpu(y, image, n, call.device())
        else:
            grayscale_cpu(y, image, n)
