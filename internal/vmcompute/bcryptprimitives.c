/*
 * A stand-in for bcryptprimitives.dll, which Wine 8 does not have and Go's
 * runtime takes its random numbers from.
 */
#include <windows.h>

BOOLEAN WINAPI SystemFunction036(void *buffer, ULONG size); /* RtlGenRandom */

static DWORD WINAPI nothing(void *unused)
{
	return 0;
}

/* Wine loads libgcc_s when a thread ends for the first time. If that is when
 * the program's exit kills its threads, it can dead-lock, and a program that
 * ended well reports status 137. So one thread ends early. */
static BOOL CALLBACK end_a_thread(INIT_ONCE *once, void *parameter, void **context)
{
	HANDLE thread = CreateThread(NULL, 0, nothing, NULL, 0, NULL);
	WaitForSingleObject(thread, INFINITE);
	CloseHandle(thread);
	return TRUE;
}

BOOL WINAPI ProcessPrng(BYTE *buffer, SIZE_T size)
{
	static INIT_ONCE once = INIT_ONCE_STATIC_INIT;

	InitOnceExecuteOnce(&once, end_a_thread, NULL, NULL);
	return SystemFunction036(buffer, (ULONG)size);
}
