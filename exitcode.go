package libcontainerd

// exitCodes holds the exit codes that Windows itself gives to a process. Names
// and numbers are those of ntstatus.h and winerror.h.
var exitCodes = map[uint32]struct{ name, hint string }{
	1067:       {"ERROR_PROCESS_ABORTED", "HCS or somebody else terminated the process: look for a kill, or for a stop that took too long; " + hintServiceStop},
	0x40010004: {"DBG_TERMINATE_PROCESS", "a debugger, or the end of the container, terminated the process"},
	0x80000003: {"STATUS_BREAKPOINT", "the program stopped at a breakpoint that no debugger handled, often a failed assertion"},
	0xc0000005: {"STATUS_ACCESS_VIOLATION", hintCrash},
	0xc0000017: {"STATUS_NO_MEMORY", hintCommit},
	0xc000001d: {"STATUS_ILLEGAL_INSTRUCTION", "the program uses an instruction that the processor, or the utility VM, does not have"},
	0xc0000022: {"STATUS_ACCESS_DENIED", "the user of the process may not read the program, one of its DLLs or a mount: check process.user and the rights on mounts"},
	0xc000007b: {"STATUS_INVALID_IMAGE_FORMAT", "the program or one of its DLLs is for another processor: Nano Server runs no 32-bit programs"},
	0xc0000094: {"STATUS_INTEGER_DIVIDE_BY_ZERO", hintCrash},
	0xc0000096: {"STATUS_PRIVILEGED_INSTRUCTION", hintCrash},
	0xc000009a: {"STATUS_INSUFFICIENT_RESOURCES", hintCommit},
	0xc00000fd: {"STATUS_STACK_OVERFLOW", hintCrash},
	0xc000012d: {"STATUS_COMMITMENT_LIMIT", hintCommit},
	0xc0000135: {"STATUS_DLL_NOT_FOUND", "the image lacks a DLL that the program needs: Nano Server lacks many, Server Core has more; the Visual C++ runtime has to be installed"},
	0xc0000138: {"STATUS_ORDINAL_NOT_FOUND", hintOldDLL},
	0xc0000139: {"STATUS_ENTRYPOINT_NOT_FOUND", hintOldDLL},
	0xc000013a: {"STATUS_CONTROL_C_EXIT", "Ctrl-C, a stop of the container or the end of its console ended the process; if a container with a terminal (-t) ends so at once, " +
		"its input was closed: keep the input open (-i); " + hintServiceStop},
	0xc0000142: {"STATUS_DLL_INIT_FAILED", "a DLL could not start, often because the container was stopping or the host had too little memory or desktop heap: try again, start fewer processes at a time"},
	0xc0000374: {"STATUS_HEAP_CORRUPTION", hintCrash},
	0xc0000409: {"STATUS_STACK_BUFFER_OVERRUN", hintCrash}, // also every fail-fast
	0xc0000602: {"STATUS_FAIL_FAST_EXCEPTION", hintCrash},
	0xe0434352: {"CLR exception", "the program did not handle an exception of .NET: its standard error names it; if that is System.OutOfMemoryException: " + hintCommit},
	0xffffffff: {"unknown", "the exit code could not be read (StateInfo.Err says why), or the program chose -1 itself"},
}

const (
	hintCrash  = "the program crashed: read its output; to get a dump, set LocalDumps under HKLM\\SOFTWARE\\Microsoft\\Windows\\Windows Error Reporting in the image and mount a folder for it"
	hintCommit = "the memory limit of the container, or the page file of the host, is used up: the limit counts committed memory, not the working set, " +
		"so compare it with the commit peak in the statistics (hcsrun stats: memory, peak) and raise it"
	hintOldDLL      = "a DLL in the image is of another version than the program was made for: use a newer image"
	hintServiceStop = "Server Core gives services five seconds to stop, whatever the timeout: raise WaitToKillServiceTimeout (milliseconds, a string) " +
		"under HKLM\\SYSTEM\\CurrentControlSet\\Control in the image"
)

// ExitName returns the name of an exit code that Windows gives to a process,
// such as STATUS_CONTROL_C_EXIT for 0xC000013A, "unknown" for UnknownExitCode, and
// "" for a code that a program chooses itself.
func ExitName(code uint32) string { return exitCodes[code].name }

// ExitHint says what usually leads to an exit code that ExitName names, and what
// an operator can try. It returns "" for a code that a program chooses itself.
func ExitHint(code uint32) string { return exitCodes[code].hint }
