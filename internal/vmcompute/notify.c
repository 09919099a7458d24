/*
 * Handles, their callbacks, and the thread that calls them.
 *
 * Notifications wait in a queue until they are due. They are delivered one at a time,
 * so that a handle gets them in the order in which they were made.
 */
#include "standin.h"
#include <stdlib.h>

struct event {
	struct event *next;
	ULONGLONG due; /* tick count, in milliseconds */
	struct handle *handle;
	enum notification type;
	DWORD status;
};

static SRWLOCK the_lock = SRWLOCK_INIT;
static CONDITION_VARIABLE changed = CONDITION_VARIABLE_INIT; /* the queue, or running */
static struct handle *handles;
static struct event *queue;    /* in the order they were made */
static struct handle *running; /* whose callback is being called, or NULL */
static BOOL service_gone;

void lock(void) { AcquireSRWLockExclusive(&the_lock); }
void unlock(void) { ReleaseSRWLockExclusive(&the_lock); }

static const char *name_of(enum notification type)
{
	switch (type) {
	case SYSTEM_EXITED: return "SystemExited";
	case SYSTEM_CREATED: return "SystemCreateCompleted";
	case SYSTEM_STARTED: return "SystemStartCompleted";
	case SYSTEM_PAUSED: return "SystemPauseCompleted";
	case SYSTEM_RESUMED: return "SystemResumeCompleted";
	case SYSTEM_SAVED: return "SystemSaveCompleted";
	case PROCESS_EXITED: return "ProcessExited";
	case SERVICE_DISCONNECT: return "ServiceDisconnect";
	}
	return "?";
}

struct handle *handle_open(struct system *system, struct process *process)
{
	struct handle *handle = calloc(1, sizeof(*handle));
	handle->system = system;
	handle->process = process;
	handle->next = handles;
	handles = handle;
	if (process)
		process->handles++;
	system->handles++; /* a process keeps its system */
	return handle;
}

BOOL handle_known(struct handle *handle)
{
	for (struct handle *h = handles; h; h = h->next)
		if (h == handle)
			return TRUE;
	return FALSE;
}

void handle_close(struct handle *handle)
{
	struct system *system = handle->system;
	struct handle **at = &handles;

	handle_unregister(handle);
	while (*at != handle)
		at = &(*at)->next;
	*at = handle->next;
	if (handle->process) {
		handle->process->handles--;
		process_release(handle->process);
	}
	free(handle);
	if (--system->handles == 0 && system->terminate_on_last_close && system->state != STOPPED)
		system_end(system, ERROR_PROCESS_ABORTED, 0);
	else
		system_release(system);
}

/* The states keep what a caller that registers late must still be told. */
void handle_register(struct handle *handle, hcs_callback callback, void *context)
{
	handle->callback = callback;
	handle->context = context;
	if (service_gone)
		notify(handle, SERVICE_DISCONNECT, 0);
	if (handle->created)
		notify(handle, SYSTEM_CREATED, 0);
	handle->created = FALSE;
	if (handle->process && handle->process->exited)
		notify(handle, PROCESS_EXITED, 0);
	if (!handle->process && handle->system->state == STOPPED)
		notify(handle, SYSTEM_EXITED, handle->system->exit_status);
}

void handle_unregister(struct handle *handle)
{
	handle->callback = NULL;
	for (struct event **at = &queue; *at;) {
		struct event *event = *at;
		if (event->handle != handle) {
			at = &event->next;
			continue;
		}
		*at = event->next;
		free(event);
	}
	while (running == handle)
		SleepConditionVariableSRW(&changed, &the_lock, INFINITE, 0);
}

void notify(struct handle *handle, enum notification type, DWORD status)
{
	if (!handle->callback || handle->disconnected)
		return;
	handle->disconnected = type == SERVICE_DISCONNECT;
	struct fault fault = fault_for(name_of(type), handle->system->id);
	if (fault.kind == LOST)
		return;

	struct event *event = calloc(1, sizeof(*event)), **at = &queue;
	event->due = GetTickCount64() + (fault.kind == LATE ? fault.value : 0);
	event->handle = handle;
	event->type = type;
	event->status = fault.kind == FAIL ? fault.value : status;
	while (*at)
		at = &(*at)->next;
	*at = event;
	WakeAllConditionVariable(&changed);
}

void notify_system(struct system *system, enum notification type, DWORD status)
{
	for (struct handle *h = handles; h; h = h->next)
		if (h->system == system && !h->process)
			notify(h, type, status);
}

void notify_process(struct process *process)
{
	for (struct handle *h = handles; h; h = h->next)
		if (h->process == process)
			notify(h, PROCESS_EXITED, 0);
}

/* Takes the next event that is due off the queue. */
static struct event *next_due(void)
{
	ULONGLONG now = GetTickCount64();

	for (struct event **at = &queue; *at; at = &(*at)->next) {
		struct event *event = *at;
		if (event->due <= now) {
			*at = event->next;
			return event;
		}
	}
	return NULL;
}

void service_check(void)
{
	BOOL gone = fault_service_gone();

	lock();
	if (gone && !service_gone) {
		for (struct handle *h = handles; h; h = h->next)
			notify(h, SERVICE_DISCONNECT, 0);
		/* its containers go with it */
		for (struct system *s = systems, *next; s; s = next) {
			next = s->next; /* ending it may free it */
			system_end(s, ERROR_PROCESS_ABORTED, HCS_UNEXPECTED_EXIT);
		}
	}
	service_gone = gone;
	unlock();
}

static DWORD WINAPI deliver(UNUSED void *unused)
{
	for (;;) {
		service_check();
		lock();
		struct event *event = next_due();
		if (!event) {
			SleepConditionVariableSRW(&changed, &the_lock, 10, 0);
			unlock();
			continue;
		}
		running = event->handle;
		hcs_callback callback = event->handle->callback;
		void *context = event->handle->context;
		log_status(name_of(event->type), event->handle->system->id, event->status);
		unlock();
		callback(event->type, context, event->status, NULL);
		free(event);
		lock();
		running = NULL;
		WakeAllConditionVariable(&changed);
		unlock();
	}
	return 0;
}

/* Under Wine a thread that ends can disturb the program's exit, so the threads of the
 * stand-in never end. */
void notify_start_threads(void)
{
	CloseHandle(CreateThread(NULL, 0, deliver, NULL, 0, NULL));
	process_start_threads();
}
