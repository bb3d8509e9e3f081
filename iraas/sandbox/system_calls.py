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
    "fsopen", "fsmount", "move_mount", "open_tree", "memfd_secret",
)  # fmt: skip
METADATA_CALLS = (
    "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat",
    "utime", "utimes", "futimesat", "utimensat", "setxattr", "lsetxattr", "fsetxattr",
    "setxattrat", "removexattr", "lremovexattr", "fremovexattr", "removexattrat",
    "file_setattr",
)  # fmt: skip
"""What changes whom a file belongs to and who may read it: Landlock does not cover these."""

IPC_CALLS = (
    "shmget", "shmat", "shmdt", "shmctl", "msgget", "msgsnd", "msgrcv", "msgctl",
    "semget", "semop", "semtimedop", "semctl", "mq_open", "mq_unlink", "mq_timedsend",
    "mq_timedreceive", "mq_notify",
)  # fmt: skip

FORBIDDEN_CALLS = (*NETWORK_CALLS, *PROCESS_CALLS, *KERNEL_CALLS, *METADATA_CALLS, *IPC_CALLS)

OPENING_CALLS = (
    "open", "openat", "openat2", "creat", "unlink", "unlinkat", "rename", "renameat",
    "renameat2", "link", "linkat", "symlink", "symlinkat", "mkdir", "mkdirat", "rmdir",
    "truncate", "mknod", "mknodat",
)  # fmt: skip
"""What opens, makes or removes files: for where Landlock is missing."""
