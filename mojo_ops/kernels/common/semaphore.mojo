"""POSIX semaphores; what a thread wrote before `post` is visible after the `wait` that it ends."""

from std.ffi import external_call
from std.memory import Pointer


struct Semaphore(Movable):
    """An unnamed semaphore of this process; it must not move once a thread uses it."""

    var storage: Array[Int64, 4]  # sem_t has 32 bytes in glibc

    def __init__(out self):
        self.storage = Array[Int64, 4](fill=0)

    def set(mut self, value: Int):
        """Initializes the semaphore; required before anything else."""
        _ = external_call["sem_init", Int32](Pointer(to=self), Int32(0), UInt32(value))

    def post(mut self):
        _ = external_call["sem_post", Int32](Pointer(to=self))

    def wait(mut self):
        # A signal handler, such as that of Ctrl-C, interrupts the wait.
        while external_call["sem_wait", Int32](Pointer(to=self)) != 0:
            pass

    def try_wait(mut self) -> Bool:
        return external_call["sem_trywait", Int32](Pointer(to=self)) == 0
