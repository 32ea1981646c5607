"""What the interpreter in the sandbox runs: limits and filter, then the solution, then its tests. Never imported.

Standard input and output are the channel to whoever judges. The solution comes first; its tests, and behind them the
number that says that they were passed, are sent only once it is loaded, and the number is read only once they were.
"""

# Nothing is imported that the solution could not import, and nothing by name once it has run.
import builtins
import ctypes
import os
import resource
import sys
import types

JOIN_SESSION_KEYRING, NO_NEW_PRIVS, SET_SECCOMP, FILTER = 1, 38, 22, 2


class _Filter(ctypes.Structure):
    _fields_ = (("n", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def _deny(steps: bytes, keyctl: int) -> None:
    """No system call that the filter refuses from here on, for this process and all that it starts."""
    libc, zero = ctypes.CDLL(None, use_errno=True), ctypes.c_ulong(0)
    # Where a kernel or container has no keyrings there is none to leave.
    libc.syscall(ctypes.c_long(keyctl), ctypes.c_ulong(JOIN_SESSION_KEYRING), None)
    given = ctypes.byref(_Filter(len(steps) // 8, steps))
    if libc.prctl(NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero) or libc.prctl(
        SET_SECCOMP, ctypes.c_ulong(FILTER), given, zero, zero
    ):
        raise OSError(f"no filter of system calls (seccomp): {os.strerror(ctypes.get_errno())}")


def _main() -> None:
    read, write, leave, compiled, run = os.read, os.write, os._exit, compile, exec
    error, failed, ended, cut = BaseException, AssertionError, (SystemExit, KeyboardInterrupt), issubclass
    # Of the class itself: an exception may say another class of itself, and its metaclass another name.
    kind_of, name_of = type, type.__dict__["__name__"].__get__
    bare, decode, size, number = str.encode, bytes.decode, len, int.from_bytes
    own, untraced, unprofiled = builtins.__dict__, sys.settrace, sys.setprofile
    before = dict(own)
    uid, cpu_s, memory, processes, file_size, files, keyctl = (int(text) for text in sys.argv[1:-1])
    # Its launchers are the group that is ended as one: no signal of its own goes there.
    os.setsid()
    # What fails so early is said on standard error.
    _deny(bytes.fromhex(sys.argv[-1]), keyctl)
    sys.argv[1:] = []
    # Somewhere a loop over the first file handles does not meet it.
    asked, told = os.dup2(0, files - 1), os.dup2(1, files - 2)
    null = os.open("/dev/null", os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(null, handle)
    os.close(null)
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, file_size),
        (resource.RLIMIT_NOFILE, files),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_NPROC, processes),
    ):
        resource.setrlimit(what, (most, most))
    # The signal of the soft limit is told apart from other ends; the hard one cannot be ignored.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)

    def receive(n: int) -> bytes:
        got = b""
        while size(got) < n:
            part = read(asked, n - size(got))
            if not part:
                leave(1)
            got += part
        return got

    def text() -> str:
        return decode(receive(number(receive(8), "big")), "utf-8", "surrogatepass")

    solution = types.ModuleType("solution")
    sys.modules["solution"] = solution
    names = solution.__dict__

    def carry_out(source: str, file: str) -> None:
        try:
            run(compiled(source, file, "exec", 0, True), names)
        except error as problem:
            kind = kind_of(problem)
            if cut(kind, ended):
                leave(0)
            write(told, b"Efailed" if cut(kind, failed) else b"E" + bare(name_of(kind))[:60])
            leave(1)

    carry_out(text(), "solution.py")
    untraced(None)
    unprofiled(None)
    own.update(before)
    names["__builtins__"] = own
    write(told, b"L")
    carry_out(text(), "tests.py")
    write(told, receive(32))
    leave(0)


if __name__ == "__main__":
    _main()
