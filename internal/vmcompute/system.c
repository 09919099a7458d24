/* Compute systems: their table, states and ends. */
#include "standin.h"
#include <stdlib.h>
#include <wchar.h>

struct system *systems;

static const wchar_t *state_names[] = {L"Created", L"Running", L"Paused", L"Stopped"};

struct system *system_find(const wchar_t *id)
{
	for (struct system *s = systems; s; s = s->next)
		if (!_wcsicmp(s->id, id))
			return s;
	return NULL;
}

BOOL system_uses(const wchar_t *scratch)
{
	for (struct system *s = systems; s; s = s->next)
		if (s->state != STOPPED && s->scratch && !_wcsicmp(s->scratch, scratch))
			return TRUE;
	return FALSE;
}

/* A job contains the processes of a system, as a silo does on Windows, and ends them
 * when this process ends. */
static HANDLE new_job(void)
{
	JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
	HANDLE job = CreateJobObjectW(NULL, NULL);

	limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
	SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof(limits));
	return job;
}

hresult system_create(const wchar_t *id, const wchar_t *document, struct system **created)
{
	if (!json_valid(document))
		return HCS_INVALID_JSON;
	wchar_t *type = json_string(json_member(document, L"SystemType"));
	BOOL container = type && !wcscmp(type, L"Container");
	free(type);
	if (!container)
		return HCS_INVALID_JSON;
	BOOL hyperv = json_true(json_member(document, L"HvPartition"));
	if (hyperv == (json_member(document, L"VolumePath") != NULL))
		return WIN32_HR(ERROR_INVALID_PARAMETER); /* process isolation has a volume, Hyper-V has none */
	if (system_find(id))
		return HCS_SYSTEM_EXISTS;
	wchar_t *scratch = json_string(json_member(document, L"LayerFolderPath"));
	if (scratch && !hyperv && folder_exists(scratch) && layer_state(scratch) != PREPARED) {
		free(scratch);
		return WIN32_HR(ERROR_NOT_READY); /* the scratch exists, but is not mounted */
	}

	struct system *system = calloc(1, sizeof(*system));
	system->id = _wcsdup(id);
	system->owner = json_string(json_member(document, L"Owner"));
	if (!system->owner)
		system->owner = _wcsdup(L"");
	system->scratch = scratch;
	system->hyperv = hyperv;
	system->terminate_on_last_close = json_true(json_member(document, L"TerminateOnLastHandleClosed"));
	system->job = new_job();
	GetSystemTimeAsFileTime(&system->created);
	system->next = systems;
	systems = system;
	*created = system;
	return 0;
}

static void stopped(struct system *system)
{
	system->state = STOPPED;
	notify_system(system, SYSTEM_EXITED, system->exit_status);
	system_release(system);
}

/* Ends the processes of a system with exit_code. status is the status of the
 * notification, which says whether somebody asked for the end. */
void system_end(struct system *system, DWORD exit_code, DWORD status)
{
	if (system->ending || system->state == STOPPED)
		return;
	system->ending = TRUE;
	system->exit_status = status;
	/* one by one: Wine does not tell the port of processes that end with their job */
	for (struct process *p = system->processes; p; p = p->next)
		process_terminate(p, exit_code);
	TerminateJobObject(system->job, exit_code);
	system_process_ended(system);
}

/* A system that is ending has stopped when its last process has ended. */
void system_process_ended(struct system *system)
{
	if (!system->ending || system->state == STOPPED)
		return;
	for (struct process *p = system->processes; p; p = p->next)
		if (!p->exited)
			return;
	stopped(system);
}

void system_release(struct system *system)
{
	struct system **at = &systems;

	if (system->handles > 0 || system->state != STOPPED)
		return;
	while (*at && *at != system)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = system->next;
	while (system->processes)
		process_release(system->processes);
	CloseHandle(system->job);
	free(system->id);
	free(system->owner);
	free(system->scratch);
	free(system);
}

static void add_properties(struct text *out, struct system *system)
{
	text_add(out, L"\"Id\":");
	text_quote(out, system->id);
	text_add(out, L",\"Name\":");
	text_quote(out, system->id);
	text_add(out, L",\"Owner\":");
	text_quote(out, system->owner);
	text_add(out, L",\"SystemType\":\"Container\",\"RuntimeOsType\":\"Windows\",\"State\":\"%ls\"", state_names[system->state]);
	if (system->state == STOPPED)
		text_add(out, L",\"Stopped\":true");
}

wchar_t *system_properties(struct system *system, const wchar_t *query)
{
	const wchar_t *types = json_member(query, L"PropertyTypes");
	struct text out = {0};

	text_add(&out, L"{");
	add_properties(&out, system);
	if (json_has(types, L"Statistics")) {
		text_add(&out, L",\"Statistics\":");
		process_statistics(&out, system);
	}
	if (json_has(types, L"ProcessList")) {
		text_add(&out, L",\"ProcessList\":");
		process_list(&out, system);
	}
	text_add(&out, L"}");
	return text_for_caller(&out);
}

static BOOL wanted(struct system *system, const wchar_t *query)
{
	const wchar_t *ids = json_member(query, L"Ids"), *owners = json_member(query, L"Owners");

	return (!ids || json_has(ids, system->id)) && (!owners || json_has(owners, system->owner));
}

wchar_t *system_list(const wchar_t *query)
{
	struct text out = {0};
	BOOL first = TRUE;

	text_add(&out, L"[");
	for (struct system *s = systems; s; s = s->next) {
		if (!wanted(s, query))
			continue;
		text_add(&out, first ? L"{" : L",{");
		add_properties(&out, s);
		text_add(&out, L"}");
		first = FALSE;
	}
	text_add(&out, L"]");
	return text_for_caller(&out);
}
