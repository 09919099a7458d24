/* The HCS calls that hcsshim makes. */
#include "standin.h"
#include <objbase.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

static INIT_ONCE threads_once = INIT_ONCE_STATIC_INIT;

static BOOL CALLBACK start_threads(UNUSED INIT_ONCE *once, UNUSED void *parameter, UNUSED void **context)
{
	notify_start_threads();
	return TRUE;
}

/* HCS gives details of a failure as JSON. */
static void explain(struct call *call, DWORD hr)
{
	struct text out = {0};

	if (!call->result)
		return;
	text_add(&out, L"{\"Error\":%d,\"ErrorMessage\":\"%hs failed\",\"ErrorEvents\":["
		L"{\"Message\":\"%hs failed with 0x%08X\",\"Provider\":\"stand-in\",\"EventId\":7}]}",
		(int)hr, call->name, call->name, hr);
	*call->result = text_for_caller(&out);
}

hresult leave(struct call *call, hresult hr)
{
	unlock();
	if ((int)hr < 0 && hr != HCS_PENDING) {
		char name[64];
		snprintf(name, sizeof(name), "%s!", call->name);
		log_status(name, call->id, hr);
	}
	free(call->id);
	return hr;
}

static BOOL refuse(struct call *call, hresult hr)
{
	if ((int)hr < 0)
		explain(call, hr);
	call->refused = leave(call, hr);
	return FALSE;
}

/* Begins a call: logs it, carries out an ordered fault, and takes the lock. If it
 * returns FALSE, the call ends here, with call->refused. A call has a handle or,
 * before there is one, an id. */
BOOL enter(struct call *call, const char *name, struct handle *handle, const wchar_t *id, const wchar_t *text, wchar_t **result)
{
	memset(call, 0, sizeof(*call));
	call->name = name;
	call->result = result;
	InitOnceExecuteOnce(&threads_once, start_threads, NULL, NULL);
	service_check();

	lock();
	BOOL known = !handle || handle_known(handle);
	if (handle && known)
		id = handle->system->id;
	call->id = _wcsdup(id ? id : L"");
	unlock();

	log_line(name, call->id, text);
	call->fault = fault_for(name, call->id);
	if (call->fault.kind == HANG)
		fault_hang();
	if (call->fault.kind == SLOW)
		Sleep(call->fault.value);

	lock();
	if (handle && !handle_known(handle))
		return refuse(call, WIN32_HR(ERROR_INVALID_HANDLE));
	if (call->fault.kind == FAIL)
		return refuse(call, call->fault.value);
	if (fault_service_gone() && !strstr(name, "Close") && !strstr(name, "Unregister"))
		return refuse(call, WIN32_HR(RPC_S_SERVER_UNAVAILABLE));
	return TRUE;
}

static wchar_t *caller_text(const wchar_t *string)
{
	struct text out = {0};
	text_add(&out, L"%ls", string);
	return text_for_caller(&out);
}

/* ---- systems ---- */

hresult HcsEnumerateComputeSystems(const wchar_t *query, wchar_t **list, wchar_t **result)
{
	struct call call;

	if (!enter(&call, "HcsEnumerateComputeSystems", NULL, NULL, query, result))
		return call.refused;
	*list = system_list(query);
	return leave(&call, 0);
}

hresult HcsCreateComputeSystem(const wchar_t *id, const wchar_t *document, UNUSED HANDLE identity, struct handle **handle, wchar_t **result)
{
	struct call call;
	struct system *system;

	if (!enter(&call, "HcsCreateComputeSystem", NULL, id, document, result))
		return call.refused;
	hresult hr = system_create(id, document, &system);
	if (hr) {
		explain(&call, hr);
		return leave(&call, hr);
	}
	*handle = handle_open(system, NULL);
	(*handle)->created = TRUE;
	return leave(&call, HCS_PENDING);
}

hresult HcsOpenComputeSystem(const wchar_t *id, struct handle **handle, wchar_t **result)
{
	struct call call;

	if (!enter(&call, "HcsOpenComputeSystem", NULL, id, NULL, result))
		return call.refused;
	struct system *system = system_find(id);
	if (!system)
		return leave(&call, HCS_NO_SYSTEM);
	*handle = handle_open(system, NULL);
	return leave(&call, 0);
}

hresult HcsCloseComputeSystem(struct handle *handle)
{
	struct call call;

	if (!enter(&call, "HcsCloseComputeSystem", handle, NULL, NULL, NULL))
		return call.refused;
	handle_close(handle);
	return leave(&call, 0);
}

/* Start, pause and resume: change the state of a system, and notify the handle that
 * asked for it. */
static hresult change(const char *name, struct handle *handle, const wchar_t *options, wchar_t **result,
	enum state from, enum state to, enum notification type)
{
	struct call call;

	if (!enter(&call, name, handle, NULL, options, result))
		return call.refused;
	struct system *system = handle->system;
	if (system->ending)
		return leave(&call, HCS_SYSTEM_STOPPED);
	if (system->state != from)
		return leave(&call, HCS_INVALID_STATE);
	if (type != SYSTEM_STARTED && !system->hyperv)
		return leave(&call, WIN32_HR(ERROR_NOT_SUPPORTED));
	if (call.fault.kind == CRASH) {
		system_end(system, ERROR_PROCESS_ABORTED, HCS_UNEXPECTED_EXIT);
		return leave(&call, HCS_PENDING);
	}
	if (type == SYSTEM_STARTED)
		GetSystemTimeAsFileTime(&system->started);
	system->state = to;
	notify(handle, type, 0);
	return leave(&call, HCS_PENDING);
}

hresult HcsStartComputeSystem(struct handle *handle, const wchar_t *options, wchar_t **result)
{
	return change("HcsStartComputeSystem", handle, options, result, CREATED, RUNNING, SYSTEM_STARTED);
}

hresult HcsPauseComputeSystem(struct handle *handle, const wchar_t *options, wchar_t **result)
{
	return change("HcsPauseComputeSystem", handle, options, result, RUNNING, PAUSED, SYSTEM_PAUSED);
}

hresult HcsResumeComputeSystem(struct handle *handle, const wchar_t *options, wchar_t **result)
{
	return change("HcsResumeComputeSystem", handle, options, result, PAUSED, RUNNING, SYSTEM_RESUMED);
}

hresult HcsShutdownComputeSystem(struct handle *handle, const wchar_t *options, wchar_t **result)
{
	struct call call;

	if (!enter(&call, "HcsShutdownComputeSystem", handle, NULL, options, result))
		return call.refused;
	if (handle->system->state == STOPPED)
		return leave(&call, HCS_SYSTEM_STOPPED);
	if (handle->system->state != RUNNING)
		return leave(&call, HCS_INVALID_STATE);
	if (call.fault.kind != LOST)
		system_end(handle->system, CONTROL_C_EXIT, call.fault.kind == CRASH ? HCS_UNEXPECTED_EXIT : 0);
	return leave(&call, HCS_PENDING);
}

hresult HcsTerminateComputeSystem(struct handle *handle, const wchar_t *options, wchar_t **result)
{
	struct call call;

	if (!enter(&call, "HcsTerminateComputeSystem", handle, NULL, options, result))
		return call.refused;
	if (handle->system->state == STOPPED)
		return leave(&call, HCS_SYSTEM_STOPPED);
	if (call.fault.kind != LOST)
		system_end(handle->system, ERROR_PROCESS_ABORTED, call.fault.kind == CRASH ? HCS_UNEXPECTED_EXIT : 0);
	return leave(&call, HCS_PENDING);
}

hresult HcsSaveComputeSystem(struct handle *handle, const wchar_t *options, wchar_t **result)
{
	struct call call;

	if (!enter(&call, "HcsSaveComputeSystem", handle, NULL, options, result))
		return call.refused;
	return leave(&call, WIN32_HR(ERROR_NOT_SUPPORTED));
}

hresult HcsGetComputeSystemProperties(struct handle *handle, const wchar_t *query, wchar_t **properties, wchar_t **result)
{
	struct call call;

	if (!enter(&call, "HcsGetComputeSystemProperties", handle, NULL, query, result))
		return call.refused;
	if (json_member(query, L"PropertyTypes") && handle->system->state != RUNNING && handle->system->state != PAUSED)
		return leave(&call, HCS_INVALID_STATE);
	*properties = system_properties(handle->system, query);
	return leave(&call, 0);
}

hresult HcsModifyComputeSystem(struct handle *handle, const wchar_t *settings, wchar_t **result)
{
	struct call call;

	if (!enter(&call, "HcsModifyComputeSystem", handle, NULL, settings, result))
		return call.refused;
	return leave(&call, handle->system->state == RUNNING ? 0 : HCS_INVALID_STATE);
}

/* ---- processes ---- */

static hresult can_run(struct handle *handle)
{
	if (!handle_known(handle))
		return WIN32_HR(ERROR_INVALID_HANDLE);
	if (handle->system->ending)
		return HCS_SYSTEM_STOPPED;
	return handle->system->state == RUNNING ? 0 : HCS_INVALID_STATE;
}

hresult HcsCreateProcess(struct handle *system, const wchar_t *parameters, struct process_information *info, struct handle **handle, wchar_t **result)
{
	struct call call;
	struct start start = {0};

	if (!enter(&call, "HcsCreateProcess", system, NULL, parameters, result))
		return call.refused;
	if (call.fault.kind == CRASH)
		system_end(system->system, ERROR_PROCESS_ABORTED, HCS_UNEXPECTED_EXIT);
	hresult hr = can_run(system);
	if (!hr) {
		unlock();
		hr = process_start(parameters, &start);
		lock();
		if (!hr && (hr = can_run(system)))
			process_abandon(&start);
	}
	if (hr) {
		explain(&call, hr);
		return leave(&call, hr);
	}
	*handle = handle_open(system->system, process_run(system->system, &start, info));
	return leave(&call, 0);
}

hresult HcsOpenProcess(struct handle *system, DWORD pid, struct handle **handle, wchar_t **result)
{
	struct call call;
	wchar_t text[16];

	swprintf(text, 16, L"%lu", pid);
	if (!enter(&call, "HcsOpenProcess", system, NULL, text, result))
		return call.refused;
	struct process *process = process_find(system->system, pid);
	if (!process)
		return leave(&call, WIN32_HR(ERROR_NOT_FOUND));
	*handle = handle_open(system->system, process);
	return leave(&call, 0);
}

hresult HcsCloseProcess(struct handle *handle)
{
	struct call call;

	if (!enter(&call, "HcsCloseProcess", handle, NULL, NULL, NULL))
		return call.refused;
	handle_close(handle);
	return leave(&call, 0);
}

static hresult end_process(const char *name, struct handle *handle, const wchar_t *options, wchar_t **result, DWORD exit_code)
{
	struct call call;

	if (!enter(&call, name, handle, NULL, options, result))
		return call.refused;
	if (call.fault.kind == LOST)
		return leave(&call, 0);
	return leave(&call, process_terminate(handle->process, exit_code));
}

hresult HcsTerminateProcess(struct handle *handle, wchar_t **result)
{
	return end_process("HcsTerminateProcess", handle, NULL, result, ERROR_PROCESS_ABORTED);
}

hresult HcsSignalProcess(struct handle *handle, const wchar_t *options, wchar_t **result)
{
	return end_process("HcsSignalProcess", handle, options, result, CONTROL_C_EXIT);
}

/* The pipes exist once, and were handed out when the process was created. Who opens
 * the process later gets its id only. */
hresult HcsGetProcessInfo(struct handle *handle, struct process_information *info, wchar_t **result)
{
	struct call call;

	if (!enter(&call, "HcsGetProcessInfo", handle, NULL, NULL, result))
		return call.refused;
	if (handle->process->exited)
		return leave(&call, WIN32_HR(ERROR_NOT_FOUND));
	memset(info, 0, sizeof(*info));
	info->pid = handle->process->pid;
	return leave(&call, 0);
}

hresult HcsGetProcessProperties(struct handle *handle, wchar_t **properties, wchar_t **result)
{
	struct call call;
	struct text out = {0};

	if (!enter(&call, "HcsGetProcessProperties", handle, NULL, NULL, result))
		return call.refused;
	struct process *process = handle->process;
	text_add(&out, L"{\"ProcessId\":%lu,\"Exited\":%ls,\"ExitCode\":%lu,\"LastWaitResult\":%d}", process->pid,
		process->exited ? L"true" : L"false", process->exit_code, call.fault.kind == NO_CODE ? -1 : 0);
	*properties = text_for_caller(&out);
	return leave(&call, 0);
}

hresult HcsModifyProcess(struct handle *handle, const wchar_t *settings, wchar_t **result)
{
	struct call call;

	if (!enter(&call, "HcsModifyProcess", handle, NULL, settings, result))
		return call.refused;
	return leave(&call, process_modify(handle->process, settings));
}

/* ---- callbacks: the handle of a callback is the one on which it was registered ---- */

static hresult register_callback(const char *name, struct handle *handle, hcs_callback callback, void *context, struct handle **registered)
{
	struct call call;

	if (!enter(&call, name, handle, NULL, NULL, NULL))
		return call.refused;
	handle_register(handle, callback, context);
	*registered = handle;
	return leave(&call, 0);
}

static hresult unregister_callback(const char *name, struct handle *registered)
{
	struct call call;

	if (!enter(&call, name, registered, NULL, NULL, NULL))
		return call.refused;
	handle_unregister(registered);
	return leave(&call, 0);
}

hresult HcsRegisterComputeSystemCallback(struct handle *handle, hcs_callback callback, void *context, struct handle **registered)
{
	return register_callback("HcsRegisterComputeSystemCallback", handle, callback, context, registered);
}

hresult HcsUnregisterComputeSystemCallback(struct handle *registered)
{
	return unregister_callback("HcsUnregisterComputeSystemCallback", registered);
}

hresult HcsRegisterProcessCallback(struct handle *handle, hcs_callback callback, void *context, struct handle **registered)
{
	return register_callback("HcsRegisterProcessCallback", handle, callback, context, registered);
}

hresult HcsUnregisterProcessCallback(struct handle *registered)
{
	return unregister_callback("HcsUnregisterProcessCallback", registered);
}

/* ---- the service ---- */

hresult HcsGetServiceProperties(const wchar_t *query, wchar_t **properties, wchar_t **result)
{
	struct call call;

	if (!enter(&call, "HcsGetServiceProperties", NULL, NULL, query, result))
		return call.refused;
	*properties = caller_text(L"{\"Properties\":[{\"SupportedSchemaVersions\":[{\"Major\":1,\"Minor\":0}]}]}");
	return leave(&call, 0);
}

hresult HcsModifyServiceSettings(const wchar_t *settings, wchar_t **result)
{
	struct call call;

	if (!enter(&call, "HcsModifyServiceSettings", NULL, NULL, settings, result))
		return call.refused;
	return leave(&call, 0);
}

/* The id of a layer. Windows does not publish the namespace of its version 5
 * UUID; any stable function of the name with that version will do. */
hresult NameToGuid(const wchar_t *name, GUID *guid)
{
	struct call call;
	ULONGLONG hash[2] = {0xcbf29ce484222325, 0x84222325cbf29ce4};
	BYTE *byte = (BYTE *)guid;

	if (!enter(&call, "NameToGuid", NULL, NULL, name, NULL))
		return call.refused;
	for (; *name; name++)
		for (int i = 0; i < 2; i++)
			hash[i] = (hash[i] ^ *name) * 0x100000001b3 + i;
	memcpy(guid, hash, sizeof(*guid));
	guid->Data3 = (guid->Data3 & 0x0fff) | 0x5000;
	byte[8] = (byte[8] & 0x3f) | 0x80;
	return leave(&call, 0);
}

/* The entry to the network service. Only its presence counts: Technical Preview 4
 * did not have it. */
hresult HNSCall(UNUSED const wchar_t *method, UNUSED const wchar_t *path, UNUSED const wchar_t *request, wchar_t **response)
{
	*response = NULL;
	return E_NOTIMPL & 0xffffffff;
}
