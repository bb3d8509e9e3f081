"""The system calls of Linux that a confined process must not make."""

NETWORK_CALLS = (
    "socket", "socketpair", "connect", "bind", "listen", "accept", "accept4",
    "sendmsg", "sendmmsg", "recvmsg", "recvmmsg",
)  # fmt: skip
PROCESS_CALLS = (
    "execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev",
    "kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open", "pidfd_getfd",
    "pidfd_send_signal", "process_madvise", "process_mrelease", "kcmp", "setpriority",
    "ioprio_set", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler",
    "move_pages", "migrate_pages",
)  # fmt: skip
KERNEL_CALLS = (
    "unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "bpf", "perf_event_open",
    "io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd", "add_key",
    "request_key", "keyctl", "open_by_handle_at", "init_module", "finit_module", "delete_module",
    "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "personality", "quotactl",
    "acct", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname",
    "setdomainname", "vhangup", "syslog",
    "fsopen", "fsmount", "move_mount", "open_tree", "memfd_secret",
)  # fmt: skip
METADATA_CALLS = (
    "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat",
    "utime", "utimes", "futimesat", "utimensat", "setxattr", "lsetxattr", "fsetxattr",
    "setxattrat", "removexattr", "lremovexattr", "fremovexattr", "removexattrat",
    "file_setattr",
)  # fmt: skip
"""Changes of a file's owner, permissions and times, which Landlock does not cover."""

IPC_CALLS = (
    "shmget", "shmat", "shmdt", "shmctl", "msgget", "msgsnd", "msgrcv", "msgctl",
    "semget", "semop", "semtimedop", "semctl", "mq_open", "mq_unlink", "mq_timedsend",
    "mq_timedreceive", "mq_notify",
)  # fmt: skip

WATCHING_CALLS = (
    "inotify_init", "inotify_init1", "inotify_add_watch", "fanotify_init", "fanotify_mark", "flock",
)  # fmt: skip
"""Calls that watch or lock files of others, which Landlock does not prevent."""

FORBIDDEN_CALLS = (
    *NETWORK_CALLS, *PROCESS_CALLS, *KERNEL_CALLS, *METADATA_CALLS, *IPC_CALLS, *WATCHING_CALLS,
)  # fmt: skip

FORBIDDEN_COMMANDS = (
    ("fcntl", 1, 8),  # F_SETOWN, F_SETSIG, F_SETOWN_EX: a signal to any process of the user
    ("fcntl", 1, 10),
    ("fcntl", 1, 15),
    ("fcntl", 1, 1024),  # F_SETLEASE
    ("fcntl", 1, 1026),  # F_NOTIFY
    ("ioctl", 1, 0x5412),  # TIOCSTI: types into the terminal
    ("prctl", 0, 1),  # PR_SET_PDEATHSIG: would let it outlive the parent
)
"""Commands of multiplexed calls: the call, the index of the command argument, its value."""

FORBIDDEN_IOCTL_TYPES = (0x66, 0x58, 0x89)
"""The second byte of an ioctl's number: attributes of files (``f``, ``X``), and sockets."""

DECODING_CALLS = (
    "read", "readv", "pread64", "write", "writev", "lseek", "close", "fstat", "poll", "ppoll",
    "brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "membarrier",
    "futex", "set_robust_list", "rseq", "sched_yield", "sched_getaffinity", "getcpu",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "tgkill",
    "setitimer", "getitimer", "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep",
    "gettimeofday", "time", "times", "getrusage", "getrandom",
    "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid",
    "getrlimit", "setrlimit", "prlimit64", "sysinfo", "uname", "exit", "exit_group",
)  # fmt: skip
"""The only calls of a process that has loaded everything it needs, and decodes."""

IMPORTING_CALLS = (
    "open", "openat", "stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2",
    "readlink", "readlinkat", "getdents", "getdents64", "getcwd",
)  # fmt: skip
"""Python's calls for late imports; allowed where Landlock restricts the files."""

IMPORTING_COMMANDS = (
    ("fcntl", 1, 1),  # F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC
    ("fcntl", 1, 2),
    ("fcntl", 1, 3),
    ("fcntl", 1, 1030),
    ("ioctl", 1, 0x5401),  # TCGETS, FIONCLEX, FIOCLEX
    ("ioctl", 1, 0x5450),
    ("ioctl", 1, 0x5451),
)
