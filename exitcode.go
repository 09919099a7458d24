package libcontainerd

// exitNames holds the exit codes that Windows itself gives to a process. Names
// and numbers are those of ntstatus.h and winerror.h.
var exitNames = map[uint32]string{
	1067:       "ERROR_PROCESS_ABORTED",
	0x40010004: "DBG_TERMINATE_PROCESS",
	0x80000003: "STATUS_BREAKPOINT",
	0xc0000005: "STATUS_ACCESS_VIOLATION",
	0xc0000017: "STATUS_NO_MEMORY",
	0xc000001d: "STATUS_ILLEGAL_INSTRUCTION",
	0xc0000022: "STATUS_ACCESS_DENIED",
	0xc000007b: "STATUS_INVALID_IMAGE_FORMAT",
	0xc0000094: "STATUS_INTEGER_DIVIDE_BY_ZERO",
	0xc0000096: "STATUS_PRIVILEGED_INSTRUCTION",
	0xc000009a: "STATUS_INSUFFICIENT_RESOURCES",
	0xc00000fd: "STATUS_STACK_OVERFLOW",
	0xc000012d: "STATUS_COMMITMENT_LIMIT",
	0xc0000135: "STATUS_DLL_NOT_FOUND",
	0xc0000138: "STATUS_ORDINAL_NOT_FOUND",
	0xc0000139: "STATUS_ENTRYPOINT_NOT_FOUND",
	0xc000013a: "STATUS_CONTROL_C_EXIT",
	0xc0000142: "STATUS_DLL_INIT_FAILED",
	0xc0000374: "STATUS_HEAP_CORRUPTION",
	0xc0000409: "STATUS_STACK_BUFFER_OVERRUN", // also every fail-fast
	0xc0000602: "STATUS_FAIL_FAST_EXCEPTION",
	0xe0434352: "CLR exception", // an unhandled exception of .NET
	0xffffffff: "unknown",       // this package could not get the code
}

// ExitName returns the name of an exit code that Windows gives to a process,
// such as STATUS_CONTROL_C_EXIT for 0xC000013A, "unknown" for UnknownExitCode, and
// "" for a code that a program chooses itself.
func ExitName(code uint32) string { return exitNames[code] }
