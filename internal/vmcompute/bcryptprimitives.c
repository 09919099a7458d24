/*
 * A stand-in for bcryptprimitives.dll, which Wine 8 does not have. Go's runtime takes
 * its random numbers from it. Every Go program loads this DLL first, so it also
 * works around other faults of Wine.
 */
#include <windows.h>
#include <winternl.h>
#include <string.h>

#define UNUSED __attribute__((unused))

BOOLEAN WINAPI SystemFunction036(void *buffer, ULONG size); /* RtlGenRandom */

BOOL WINAPI ProcessPrng(BYTE *buffer, SIZE_T size)
{
	return SystemFunction036(buffer, (ULONG)size);
}

/*
 * os.RemoveAll deletes with FileDispositionInformationEx. If the answer is "invalid
 * class", it deletes in an older way. Wine does not have this class, but answers "not
 * implemented", which Go does not expect. So we answer "invalid class" here.
 */
typedef NTSTATUS(NTAPI *set_information)(HANDLE file, IO_STATUS_BLOCK *io, void *data, ULONG size, int class);

static set_information wine_set_information;

static NTSTATUS NTAPI our_set_information(HANDLE file, IO_STATUS_BLOCK *io, void *data, ULONG size, int class)
{
	const int disposition_ex = 64;
	const NTSTATUS invalid_info_class = 0xC0000003;

	if (class == disposition_ex)
		return invalid_info_class;
	return wine_set_information(file, io, data, size, class);
}

/* Writes a jump to our function over the beginning of Wine's, and keeps a copy of
 * Wine's: a system call of 32 bytes, which runs at any address. */
static void mend_removal(void)
{
	const BYTE system_call[] = {0x4c, 0x8b, 0xd1, 0xb8}; /* mov r10, rcx; mov eax, ... */
	BYTE jump[] = {0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0}; /* mov rax, ...; jmp rax */
	set_information ours = our_set_information;
	BYTE *theirs = (BYTE *)GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "NtSetInformationFile");
	DWORD protection;

	if (!theirs || memcmp(theirs, system_call, sizeof(system_call)))
		return;
	BYTE *copy = VirtualAlloc(NULL, 32, MEM_COMMIT | MEM_RESERVE, PAGE_EXECUTE_READWRITE);
	memcpy(copy, theirs, 32);
	wine_set_information = (set_information)copy;
	memcpy(jump + 2, &ours, sizeof(ours));
	VirtualProtect(theirs, sizeof(jump), PAGE_EXECUTE_READWRITE, &protection);
	memcpy(theirs, jump, sizeof(jump));
	VirtualProtect(theirs, sizeof(jump), protection, &protection);
}

/*
 * Wine loads libgcc_s when a thread ends for the first time. If the program's exit
 * ends the first thread, Wine can dead-lock, and a program that succeeded reports
 * status 137. So we end one thread early.
 */
static DWORD WINAPI nothing(UNUSED void *unused)
{
	return 0;
}

BOOL WINAPI DllMain(HINSTANCE dll, DWORD reason, UNUSED void *reserved)
{
	if (reason == DLL_PROCESS_ATTACH) {
		DisableThreadLibraryCalls(dll);
		mend_removal();
		CloseHandle(CreateThread(NULL, 0, nothing, NULL, 0, NULL)); /* runs when loading is done */
	}
	return TRUE;
}
