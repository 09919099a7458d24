/*
 * A stand-in for bcryptprimitives.dll, from which Go's runtime takes its random
 * numbers and which Wine 8 does not have. As every Go program loads it first of
 * all, it also mends what else Wine does to Go programs.
 */
#include <windows.h>
#include <winternl.h>
#include <string.h>

BOOLEAN WINAPI SystemFunction036(void *buffer, ULONG size); /* RtlGenRandom */

BOOL WINAPI ProcessPrng(BYTE *buffer, SIZE_T size)
{
	return SystemFunction036(buffer, (ULONG)size);
}

/*
 * os.RemoveAll deletes with FileDispositionInformationEx, and in an older way
 * where that is an invalid class. Wine has it not either but calls it "not
 * implemented", of which Go knows nothing. So the question is answered here.
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

/* Puts a jump to our function where Wine's begins, and keeps that, which is a
 * system call of 32 bytes that runs wherever it is. */
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
 * Wine loads libgcc_s when a thread ends for the first time. If that is when
 * the program's exit kills its threads, it can dead-lock, and a program that
 * ended well reports status 137. So one thread ends early.
 */
static DWORD WINAPI nothing(void *unused)
{
	return 0;
}

BOOL WINAPI DllMain(HINSTANCE dll, DWORD reason, void *reserved)
{
	if (reason == DLL_PROCESS_ATTACH) {
		DisableThreadLibraryCalls(dll);
		mend_removal();
		CloseHandle(CreateThread(NULL, 0, nothing, NULL, 0, NULL)); /* runs when loading is done */
	}
	return TRUE;
}
