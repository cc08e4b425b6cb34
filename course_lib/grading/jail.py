"""What keeps a submission in: Linux namespaces, a file system of its own, no capabilities, limits. Standard library
only.

Nothing here runs in the grader: the worker's template calls `open_house`, and a child of it `move_in` before it
runs the first line of a submission. The house is a new root that shows, read-only, Python and the course without
its exercises and its grader, and an empty /tmp; there is no network, and no process but the submission's own.

Why nobody leaves: the process is in a chroot without capabilities and without a file descriptor to anything
outside; it cannot gain privileges (no_new_privs), nor make a user namespace (the kernel allows none in a chroot).
The kernel refuses it the calls that no exercise needs (DENIED): those that take memory which belongs to no process,
that reach what namespaces do not separate (keys, the machine's host), or that are known for holes.
When its first process ends, the kernel ends all others of its pid namespace.
"""

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

LINUX = sys.platform == "linux"
LIBC = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 8, 32, 4096, 16384
MS_PRIVATE, MS_NOATIME, MS_NODIRATIME, MS_RELATIME = 1 << 18, 1024, 2048, 1 << 21
KEPT = {MS_NOSUID: 2, MS_NODEV: 4, MS_NOEXEC: 8, MS_NOATIME: 1024, MS_NODIRATIME: 2048, MS_RELATIME: 4096}  # as statvfs
NEW_MOUNTS, NEW_UTS, NEW_IPC, NEW_USER = 0x20000, 0x4000000, 0x8000000, 0x10000000
NEW_PIDS, NEW_NET = 0x20000000, 0x40000000
SET_PDEATHSIG, CAPBSET_DROP, SET_CHILD_SUBREAPER, SET_NO_NEW_PRIVS = 1, 24, 36, 38
CAPABILITY_VERSION = 0x20080522

# System calls by their numbers on (x86_64, aarch64), as in the kernel's unistd tables.
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column of the table, AUDIT_ARCH of seccomp
DENIED = {
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186),
    "semget": (64, 190), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "bpf": (321, 280),
    "io_uring_setup": (425, 425), "userfaultfd": (323, 282), "perf_event_open": (298, 241), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_getfd": (438, 438), "kcmp": (312, 272),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "open_tree": (428, 428),
    "fsopen": (430, 430), "personality": (135, 92), "quotactl": (179, 60), "chroot": (161, 51),
}  # fmt: skip
SOCKET, SECCOMP = (41, 198), (317, 277)
FAMILIES = (1, 2, 10)  # of sockets: Unix, IPv4, IPv6; others lead past the network namespace

SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/sys/devices/system/cpu",
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/alternatives", "/etc/fonts",
)  # fmt: skip
DEVICES = ("null", "zero", "full", "random", "urandom")
WORK = "/tmp/work"  # where a submission runs
TMP_OPTIONS = "size=64m,nr_inodes=4k,mode=1777"
PROCESSES, OPEN_FILES, FILE_BYTES = 16, 64, 16 << 20
FIRST_UID = 1_800_000_000  # of nobody: a grader run by root gives each of its workers one of these


def open_house(root: str, plan: Sequence[tuple[str, Sequence[str]]]) -> None:
    """In a process with one thread: new namespaces, and in them at `root` what a submission will see.

    Args:
        root: an empty folder.
        plan: one after the other ("show", paths), folders and files that are seen, read-only, in their places, and
            ("hide", paths), folders that are not, though they lie in those that are.

    Raises:
        OSError: the kernel does not allow it.
    """
    uid, gid = os.geteuid(), os.getegid()
    try:
        if uid:
            raise PermissionError
        _unshare(NEW_MOUNTS | NEW_NET | NEW_IPC | NEW_UTS)
    except PermissionError:  # not the real root: be one in a user namespace
        _unshare(NEW_USER | NEW_MOUNTS | NEW_NET | NEW_IPC | NEW_UTS)
        for name, text in [("setgroups", "deny"), ("gid_map", f"{gid} {gid} 1"), ("uid_map", f"{uid} {uid} 1")]:
            Path(f"/proc/self/{name}").write_text(text)
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    _mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
    for name in DEVICES:
        _show(f"/dev/{name}", root)
    for name in ("proc", "tmp", "dev/shm"):
        os.makedirs(f"{root}/{name}", exist_ok=True)
    for step, paths in plan:
        for path in _outermost(paths):
            if step == "show":
                _show(path, root)
            elif os.path.isdir(f"{root}{path}"):
                _mount("tmpfs", f"{root}{path}", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k,mode=755")
    for place in _mounts_below(root):
        _make_read_only(place)


def new_room() -> None:
    """In a child of the template: the next process it starts is the first of a pid namespace."""
    _unshare(NEW_MOUNTS | NEW_PIDS | NEW_IPC)


def move_in(root: str, memory: int, cpu_seconds: int, uid: int) -> None:
    """In that first process: take the house as the whole world, and give up every privilege, for good."""
    _worth_killing()
    flags = MS_NOSUID | MS_NODEV
    _mount("tmpfs", f"{root}/tmp", "tmpfs", flags, TMP_OPTIONS)
    _mount("tmpfs", f"{root}/dev/shm", "tmpfs", flags | MS_NOEXEC, TMP_OPTIONS)
    _mount("proc", f"{root}/proc", "proc", flags | MS_NOEXEC | MS_RDONLY)
    limit(memory, cpu_seconds)
    os.chroot(root)
    os.mkdir(WORK, 0o777)
    os.chmod(WORK, 0o777)
    os.chdir(WORK)
    become_nobody(uid)
    deny_system_calls()


def become_nobody(uid: int) -> None:
    """Another user where that is possible (root), and no capabilities in any case."""
    if os.geteuid() == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        except OSError:  # root of a user namespace in which there is nobody else
            pass
    if LINUX:
        _check(LIBC.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
        for capability in range(64):
            LIBC.prctl(CAPBSET_DROP, capability, 0, 0, 0)
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
        _check(LIBC.capset(header, (ctypes.c_uint32 * 6)()), "capset")


def deny_system_calls() -> None:
    """From here on the kernel answers those of DENIED, and sockets of other FAMILIES, with "not permitted"."""
    if platform.machine() not in MACHINES:
        raise OSError(f"the system calls of {platform.machine()} are not known")
    column, machine = MACHINES[platform.machine()]
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06  # of the kernel's filter language
    numbers = [row[column] for row in DENIED.values()]
    steps = [(load, 4, "", ""), (equal, machine, "", "refuse"), (load, 0, "", "")]  # which machine; which call
    steps += [(at_least, 1 << 30, "refuse", ""), *((equal, number, "refuse", "") for number in numbers)]  # or x32's
    steps += [(equal, SOCKET[column], "", "allow"), (load, 16, "", "")]  # its first argument
    steps += [(equal, family, "allow", "") for family in FAMILIES]
    places = {"": 0, "refuse": len(steps), "allow": len(steps) + 1}
    steps += [(answer, 0x00050000 | errno.EPERM, "", ""), (answer, 0x7FFF0000, "", "")]
    program = b"".join(
        struct.pack("HBBI", code, *(max(places[to] - at - 1, 0) for to in (true, false)), number)
        for at, (code, number, true, false) in enumerate(steps)
    )
    buffer = ctypes.create_string_buffer(program, len(program))
    whole = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(buffer))
    _check(LIBC.syscall(SECCOMP[column], 1, 4, whole), "seccomp")  # a filter; and nothing else becomes slower by it


def limit(memory: int, cpu_seconds: int) -> None:
    """Limits of this process and its children: `memory` is in bytes, beyond what it has now."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_FSIZE: FILE_BYTES,
        resource.RLIMIT_NOFILE: OPEN_FILES,
    }
    if LINUX:
        limits[resource.RLIMIT_AS] = memory + _address_space()
        limits[resource.RLIMIT_NPROC] = PROCESSES + _processes_of_this_user()
    for name, value in limits.items():
        hard = resource.getrlimit(name)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (value, value))


def limit_memory(more: int) -> None:
    """Let this process take so many bytes more than it has now, and no more."""
    if LINUX:
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        value = more + _address_space()
        resource.setrlimit(resource.RLIMIT_AS, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def adopt_orphans() -> None:
    """Whatever a descendant leaves behind becomes a child of this process."""
    if LINUX:
        _check(LIBC.prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0), "child_subreaper")


def die_with_parent() -> None:
    if LINUX:
        LIBC.prctl(SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def memory_of(proc: str) -> int:
    """Bytes used by all processes that a /proc shows; shared pages are counted once where it matters."""
    page, total, sizes = resource.getpagesize(), 0, {}
    for name in os.listdir(proc):
        if name.isdigit():
            try:
                sizes[name] = int(Path(f"{proc}/{name}/statm").read_text().split()[1]) * page
            except (OSError, IndexError):  # it has ended
                continue
    if len(sizes) <= 1:
        return sum(sizes.values())
    for name, size in sizes.items():
        try:
            lines = Path(f"{proc}/{name}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration):
            total += size
    return total


def machine_is_short_of_memory() -> bool:
    """Whether less than a twentieth of the machine's memory is left."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return False
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith("kB")}
    return sizes.get("MemAvailable", 1) < sizes.get("MemTotal", 0) / 20


def try_out(root: str) -> None:
    """Build a house, move a process in, and see that it works; OSError with the reason where it does not."""
    reading, writing = os.pipe()
    builder = os.fork()
    if builder == 0:
        try:
            open_house(root, [("show", SYSTEM)])
            new_room()
            first = os.fork()
            if first == 0:
                move_in(root, 1 << 30, 10, FIRST_UID)
                alone = os.getpid() == 1 and not os.path.exists("/home") and not os.access("/usr", os.W_OK)
                os._exit(0 if alone else 3)
            status = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
            os.write(writing, f"the first process inside ended with {status}".encode() if status else b"")
        except OSError as error:
            os.write(writing, f"{error.strerror or error}: {error.filename or 'unshare'}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    problem = os.read(reading, 500).decode()
    os.close(reading)
    os.waitpid(builder, 0)
    if problem:
        raise OSError(problem)


def _worth_killing() -> None:
    """When the machine runs out of memory, it is this process that goes first."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        pass


def _address_space() -> int:
    """Bytes that this process has mapped."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _processes_of_this_user() -> int:
    """What other processes and threads the limit counts as well: none in a user namespace of a newer kernel."""
    version = tuple(int(part) for part in platform.release().split(".")[:2] if part.isdigit())
    if os.geteuid() == 0 or version >= (5, 14):
        return 0
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found += len(os.listdir(process / "task")) if process.stat().st_uid == os.geteuid() else 0
        except OSError:
            continue
    return found


def _outermost(paths: Iterable[str]) -> list[str]:
    """The paths that exist and do not lie in another of them, each once."""
    chosen: list[str] = []
    for path in sorted({os.path.abspath(path) for path in paths if path}):
        inside = any(path == other or path.startswith(f"{other}/") for other in chosen if not os.path.islink(other))
        if os.path.lexists(path) and not inside:
            chosen.append(path)
    return chosen


def _show(path: str, root: str) -> None:
    """A folder or file of the machine, in the same place below the root."""
    place = f"{root}{path}"
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if os.path.islink(path) and path in SYSTEM:
        os.symlink(os.readlink(path), place)
        return
    if os.path.isdir(path):
        os.makedirs(place, exist_ok=True)
    elif os.path.exists(path):
        os.close(os.open(place, os.O_CREAT))
    else:
        return
    _mount(path, place, None, MS_BIND | MS_REC)


def _mounts_below(root: str) -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        places = [_unescaped(line.split(" ")[4]) for line in file]
    return [place for place in places if place == root or place.startswith(f"{root}/")]


def _unescaped(path: str) -> str:
    """mountinfo writes a space as \\040."""
    return os.fsdecode(os.fsencode(path).decode("unicode_escape").encode("latin-1"))


def _make_read_only(place: str) -> None:
    flags = os.statvfs(place).f_flag
    kept = sum(mount_flag for mount_flag, seen in KEPT.items() if flags & seen)
    _mount(None, place, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | kept)


def _unshare(flags: int) -> None:
    _check(LIBC.unshare(flags), "unshare")


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    texts = [os.fsencode(text) if text else None for text in (source, target, kind)]
    _check(LIBC.mount(*texts, ctypes.c_ulong(flags), options.encode() if options else None), target)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
