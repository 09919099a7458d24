/* The processes in compute systems: real ones, with real pipes. */
#include "standin.h"
#include <psapi.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

/* The jobs of all systems report the ends of their processes to this port. */
static HANDLE exits;

/* A standard stream of a process: ours is the caller's end, theirs the process's. */
struct stream {
	HANDLE ours, theirs;
};

static BOOL open_stream(struct stream *stream, int number)
{
	static LONG serial;
	BOOL input = number == 0;
	SECURITY_ATTRIBUTES inherited = {sizeof(inherited), NULL, TRUE};
	wchar_t name[64];

	swprintf(name, 64, L"\\\\.\\pipe\\vmcompute-%lu-%ld", GetCurrentProcessId(), InterlockedIncrement(&serial));
	stream->ours = CreateNamedPipeW(name,
		(input ? PIPE_ACCESS_OUTBOUND : PIPE_ACCESS_INBOUND) | FILE_FLAG_OVERLAPPED | FILE_FLAG_FIRST_PIPE_INSTANCE,
		PIPE_TYPE_BYTE | PIPE_WAIT, 1, 65536, 65536, 0, NULL);
	stream->theirs = CreateFileW(name, input ? GENERIC_READ : GENERIC_WRITE, 0, &inherited, OPEN_EXISTING, 0, NULL);
	return stream->ours != INVALID_HANDLE_VALUE && stream->theirs != INVALID_HANDLE_VALUE;
}

static void close_handle(HANDLE handle)
{
	if (handle && handle != INVALID_HANDLE_VALUE)
		CloseHandle(handle);
}

/* The environment of this process, overridden by the variables of the parameters, as
 * a block for CreateProcess. */
static wchar_t *environment_block(const wchar_t *variables)
{
	wchar_t *inherited = GetEnvironmentStringsW();
	size_t size = 2 + (variables ? wcslen(variables) : 0);
	for (wchar_t *v = inherited; *v; v += wcslen(v) + 1)
		size += wcslen(v) + 1;
	wchar_t *block = malloc(size * sizeof(wchar_t)), *out = block;

	for (wchar_t *v = inherited; *v; v += wcslen(v) + 1) {
		wchar_t name[256] = {0};
		wcsncpy(name, v, wcscspn(v + 1, L"=") + 1 < 255 ? wcscspn(v + 1, L"=") + 1 : 255);
		if (!json_member(variables, name))
			out += swprintf(out, size - (out - block), L"%ls", v) + 1;
	}
	FreeEnvironmentStringsW(inherited);

	const wchar_t *at = variables, *key, *value;
	while (at && *at && json_each(&at, &key, &value)) {
		wchar_t *name = json_string(key), *text = json_string(value);
		if (name && text)
			out += swprintf(out, size - (out - block), L"%ls=%ls", name, text) + 1;
		free(name);
		free(text);
	}
	*out = 0;
	return block;
}

/* Starts the program suspended, so that it can be put into its job first. The program
 * inherits the handles of its streams only. If another process inherited them too, the
 * caller would not get an end of file. */
static DWORD start_suspended(const wchar_t *parameters, struct stream streams[3], PROCESS_INFORMATION *started)
{
	STARTUPINFOEXW startup = {0};
	HANDLE inherited[3];
	int count = 0;
	SIZE_T size = 0;
	DWORD error = 0;

	startup.StartupInfo.cb = sizeof(startup);
	startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
	startup.StartupInfo.hStdInput = streams[0].theirs;
	startup.StartupInfo.hStdOutput = streams[1].theirs;
	startup.StartupInfo.hStdError = streams[2].theirs;
	for (int i = 0; i < 3; i++)
		if (streams[i].theirs)
			inherited[count++] = streams[i].theirs;
	InitializeProcThreadAttributeList(NULL, 1, 0, &size);
	startup.lpAttributeList = malloc(size);
	InitializeProcThreadAttributeList(startup.lpAttributeList, 1, 0, &size);
	if (count)
		UpdateProcThreadAttribute(startup.lpAttributeList, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST,
			inherited, count * sizeof(HANDLE), NULL, NULL);

	wchar_t *program = json_string(json_member(parameters, L"ApplicationName"));
	wchar_t *command = json_string(json_member(parameters, L"CommandLine"));
	wchar_t *directory = json_string(json_member(parameters, L"WorkingDirectory"));
	wchar_t *environment = environment_block(json_member(parameters, L"Environment"));
	/* Under Wine one process in thousands dies while it is loaded. */
	for (int tries = 0; tries < 3; tries++) {
		error = 0;
		if (CreateProcessW(program, command, NULL, NULL, count > 0,
				CREATE_SUSPENDED | CREATE_UNICODE_ENVIRONMENT | DETACHED_PROCESS | EXTENDED_STARTUPINFO_PRESENT,
				environment, directory && *directory ? directory : NULL, &startup.StartupInfo, started))
			break;
		error = GetLastError();
		if (error != ERROR_INTERNAL_ERROR)
			break;
	}

	free(program);
	free(command);
	free(directory);
	free(environment);
	DeleteProcThreadAttributeList(startup.lpAttributeList);
	free(startup.lpAttributeList);
	return error;
}

/* Two command lines start no program, so that the process costs almost nothing. */
static BOOL without_program(const wchar_t *parameters, struct start *start)
{
	wchar_t *command = json_string(json_member(parameters, L"CommandLine"));
	start->over = command && !wcscmp(command, L"standin:over");
	BOOL without = start->over || (command && !wcscmp(command, L"standin:run"));
	free(command);
	return without;
}

hresult process_start(const wchar_t *parameters, struct start *start)
{
	static const wchar_t *asked[] = {L"CreateStdInPipe", L"CreateStdOutPipe", L"CreateStdErrPipe"};
	struct stream streams[3] = {0};
	DWORD error = 0;

	if (!json_valid(parameters))
		return HCS_INVALID_JSON;
	start->console = json_true(json_member(parameters, L"EmulateConsole"));
	for (int i = 0; i < 3; i++)
		if (json_true(json_member(parameters, asked[i])) && !open_stream(&streams[i], i))
			error = GetLastError();
	if (start->console && !streams[2].theirs)
		streams[2].theirs = streams[1].theirs; /* a console has one output */
	if (!error && without_program(parameters, start)) {
		for (int i = 0; i < 3; i++) {
			start->theirs[i] = i == 2 && start->console ? NULL : streams[i].theirs;
			start->ours[i] = streams[i].ours;
		}
		return 0;
	}
	if (!error)
		error = start_suspended(parameters, streams, &start->started);
	if (streams[2].theirs != streams[1].theirs)
		close_handle(streams[2].theirs);
	close_handle(streams[1].theirs);
	close_handle(streams[0].theirs);
	for (int i = 0; i < 3; i++) {
		if (error)
			close_handle(streams[i].ours);
		start->ours[i] = streams[i].ours;
	}
	return error ? WIN32_HR(error) : 0;
}

void process_abandon(struct start *start)
{
	TerminateProcess(start->started.hProcess, ERROR_PROCESS_ABORTED);
	close_handle(start->started.hThread);
	close_handle(start->started.hProcess);
	for (int i = 0; i < 3; i++) {
		close_handle(start->ours[i]);
		close_handle(start->theirs[i]);
	}
}

/* Ends a process that has no program. The caller tells the system. */
static void end_without_program(struct process *process, DWORD exit_code)
{
	process->exit_code = exit_code;
	process->exited = TRUE;
	for (int i = 0; i < 3; i++)
		close_handle(process->theirs[i]);
	close_handle(process->stdin_end);
	process->stdin_end = NULL;
	notify_process(process);
}

static void run_without_program(struct process *process, struct start *start)
{
	static DWORD pids = 0x40000000;

	process->pid = pids += 4;
	memcpy(process->theirs, start->theirs, sizeof(process->theirs));
	if (start->over)
		end_without_program(process, 0);
}

static void run_program(struct process *process, struct start *start)
{
	struct system *system = process->system;
	JOBOBJECT_ASSOCIATE_COMPLETION_PORT port = {system, exits};

	process->handle = start->started.hProcess;
	process->pid = start->started.dwProcessId;
	SetInformationJobObject(system->job, JobObjectAssociateCompletionPortInformation, &port, sizeof(port));
	AssignProcessToJobObject(system->job, process->handle);
	ResumeThread(start->started.hThread);
	CloseHandle(start->started.hThread);
}

struct process *process_run(struct system *system, struct start *start, struct process_information *info)
{
	struct process *process = calloc(1, sizeof(*process));

	process->system = system;
	process->console = start->console;
	process->next = system->processes;
	system->processes = process;
	if (start->ours[0])
		DuplicateHandle(GetCurrentProcess(), start->ours[0], GetCurrentProcess(), &process->stdin_end,
			0, FALSE, DUPLICATE_SAME_ACCESS);
	if (start->started.hProcess)
		run_program(process, start);
	else
		run_without_program(process, start);

	memset(info, 0, sizeof(*info));
	info->pid = process->pid;
	memcpy(info->std, start->ours, sizeof(info->std));
	return process;
}

struct process *process_find(struct system *system, DWORD pid)
{
	for (struct process *p = system->processes; p; p = p->next)
		if (p->pid == pid && !p->exited)
			return p;
	return NULL;
}

hresult process_terminate(struct process *process, DWORD exit_code)
{
	if (process->exited)
		return HCS_PROCESS_STOPPED;
	if (!process->handle) {
		end_without_program(process, exit_code);
		return 0;
	}
	if (!TerminateProcess(process->handle, exit_code))
		return WIN32_HR(GetLastError());
	return 0;
}

hresult process_modify(struct process *process, const wchar_t *settings)
{
	wchar_t *operation = json_string(json_member(settings, L"Operation"));
	hresult hr = WIN32_HR(ERROR_INVALID_PARAMETER);

	if (process->exited) {
		hr = WIN32_HR(ERROR_NOT_FOUND);
	} else if (operation && !wcscmp(operation, L"ConsoleSize")) {
		hr = process->console ? 0 : HCS_INVALID_STATE;
	} else if (operation && !wcscmp(operation, L"CloseHandle")) {
		close_handle(process->stdin_end);
		process->stdin_end = NULL;
		hr = 0;
	}
	free(operation);
	return hr;
}

/* Frees a process that has ended once nobody holds a handle to it. */
void process_release(struct process *process)
{
	struct process **at = &process->system->processes;

	if (process->handles > 0 || !process->exited)
		return;
	while (*at != process)
		at = &(*at)->next;
	*at = process->next;
	close_handle(process->handle);
	free(process);
}

static void ended(struct process *process)
{
	struct system *system = process->system;

	GetExitCodeProcess(process->handle, &process->exit_code);
	process->exited = TRUE;
	close_handle(process->stdin_end);
	process->stdin_end = NULL;
	notify_process(process);
	process_release(process);
	system_process_ended(system);
}

static struct process *find_by_pid(DWORD pid)
{
	for (struct system *s = systems; s; s = s->next) {
		struct process *process = process_find(s, pid);
		if (process)
			return process;
	}
	return NULL;
}

static DWORD WINAPI watch(UNUSED void *unused)
{
	for (;;) {
		DWORD message;
		ULONG_PTR key;
		OVERLAPPED *pid;
		if (!GetQueuedCompletionStatus(exits, &message, &key, &pid, INFINITE))
			continue;
		if (message != JOB_OBJECT_MSG_EXIT_PROCESS && message != JOB_OBJECT_MSG_ABNORMAL_EXIT_PROCESS)
			continue;
		lock();
		struct process *process = find_by_pid((DWORD)(ULONG_PTR)pid);
		unlock();
		if (!process)
			continue; /* a process that one of ours has started */
		WaitForSingleObject(process->handle, INFINITE); /* the port gets the message a moment before the end */
		lock();
		ended(process);
		unlock();
	}
	return 0;
}

void process_start_threads(void)
{
	exits = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
	CloseHandle(CreateThread(NULL, 0, watch, NULL, 0, NULL));
}

static ULONGLONG ticks(FILETIME time)
{
	return (ULONGLONG)time.dwHighDateTime << 32 | time.dwLowDateTime;
}

void process_list(struct text *out, struct system *system)
{
	BOOL first = TRUE;

	text_add(out, L"[");
	for (struct process *p = system->processes; p; p = p->next) {
		FILETIME created, exited, kernel, user;
		PROCESS_MEMORY_COUNTERS memory = {.cb = sizeof(memory)};
		wchar_t image[MAX_PATH] = L"";
		if (p->exited || !p->handle)
			continue;
		GetProcessTimes(p->handle, &created, &exited, &kernel, &user);
		GetProcessMemoryInfo(p->handle, &memory, sizeof(memory));
		GetProcessImageFileNameW(p->handle, image, MAX_PATH);
		wchar_t *name = wcsrchr(image, '\\');
		text_add(out, L"%ls{\"ProcessId\":%lu,\"ImageName\":", first ? L"" : L",", p->pid);
		text_quote(out, name ? name + 1 : image);
		text_add(out, L",\"CreateTimestamp\":");
		text_time(out, created);
		text_add(out, L",\"KernelTime100ns\":%llu,\"UserTime100ns\":%llu,\"MemoryCommitBytes\":%llu"
			L",\"MemoryWorkingSetPrivateBytes\":%llu,\"MemoryWorkingSetSharedBytes\":%llu}",
			ticks(kernel), ticks(user), (ULONGLONG)memory.PagefileUsage,
			(ULONGLONG)memory.WorkingSetSize / 2, (ULONGLONG)memory.WorkingSetSize / 2);
		first = FALSE;
	}
	text_add(out, L"]");
}

void process_statistics(struct text *out, struct system *system)
{
	ULONGLONG kernel = 0, user = 0, memory = 0;
	FILETIME now;

	GetSystemTimeAsFileTime(&now);
	for (struct process *p = system->processes; p; p = p->next) {
		FILETIME created, exited, k, u;
		PROCESS_MEMORY_COUNTERS counters = {.cb = sizeof(counters)};
		if (p->exited || !p->handle)
			continue;
		GetProcessTimes(p->handle, &created, &exited, &k, &u);
		GetProcessMemoryInfo(p->handle, &counters, sizeof(counters));
		kernel += ticks(k);
		user += ticks(u);
		memory += counters.WorkingSetSize;
	}
	text_add(out, L"{\"Timestamp\":");
	text_time(out, now);
	text_add(out, L",\"ContainerStartTime\":");
	text_time(out, system->started);
	text_add(out, L",\"Uptime100ns\":%llu", ticks(now) - ticks(system->started));
	text_add(out, L",\"Memory\":{\"MemoryUsageCommitBytes\":%llu,\"MemoryUsageCommitPeakBytes\":%llu"
		L",\"MemoryUsagePrivateWorkingSetBytes\":%llu}", memory, memory, memory);
	text_add(out, L",\"Processor\":{\"TotalRuntime100ns\":%llu,\"RuntimeUser100ns\":%llu,\"RuntimeKernel100ns\":%llu}",
		kernel + user, user, kernel);
	text_add(out, L",\"Storage\":{\"ReadCountNormalized\":1,\"ReadSizeBytes\":4096,\"WriteCountNormalized\":2,\"WriteSizeBytes\":8192}");
	text_add(out, L",\"Network\":[{\"BytesReceived\":1500,\"BytesSent\":500,\"PacketsReceived\":3,\"PacketsSent\":2"
		L",\"EndpointId\":\"7a1b0c3e-0000-4000-8000-000000000001\",\"InstanceId\":\"7a1b0c3e-0000-4000-8000-000000000002\"}]}");
}
