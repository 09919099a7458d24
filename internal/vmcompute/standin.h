/*
 * A stand-in for vmcompute.dll, the entry to the Host Compute Service. It tests the
 * Windows binaries of the project under Wine, which has no HCS. It keeps compute
 * systems in memory, starts a real process for each HCS process, and notifies from
 * its own threads, as Windows does.
 *
 *   calls.c    the HCS calls that hcsshim makes
 *   layers.c   the calls for layers, whose state is on disk
 *   system.c   compute systems: their table, states and ends
 *   process.c  the processes in them, with their pipes
 *   notify.c   handles, callbacks, and the thread that calls them
 *   faults.c   the faults that a test orders, and the log of calls
 *   json.c     reading and writing JSON
 *
 * README.md says how to order faults and how to read the log.
 */
#ifndef STANDIN_H
#define STANDIN_H

#include <windows.h>

#define UNUSED __attribute__((unused)) /* of a parameter that the signature has and the stand-in does not use */

/* HCS calls return an HRESULT, of which Go reads the whole register. */
typedef ULONG_PTR hresult;

#define HCS_PENDING         0xC0370103
#define HCS_INVALID_STATE   0xC0370105
#define HCS_UNEXPECTED_EXIT 0xC0370106
#define HCS_INVALID_JSON    0xC037010D
#define HCS_NO_SYSTEM       0xC037010E
#define HCS_SYSTEM_EXISTS   0xC037010F
#define HCS_SYSTEM_STOPPED  0xC0370110
#define HCS_PROCESS_STOPPED 0x8037011F
#define WIN32_HR(code)      (0x80070000 | (code))

/* ---- notify.c ---- */

enum notification {
	SYSTEM_EXITED = 1,
	SYSTEM_CREATED = 2,
	SYSTEM_STARTED = 3,
	SYSTEM_PAUSED = 4,
	SYSTEM_RESUMED = 5,
	SYSTEM_SAVED = 8,
	PROCESS_EXITED = 0x10000,
	SERVICE_DISCONNECT = 0x1000000,
};

typedef void (CALLBACK *hcs_callback)(DWORD type, void *context, ULONG_PTR status, const wchar_t *data);

/* A handle of a caller: to a system, or to a process in it, with at most one
 * callback. */
struct handle {
	struct handle *next;
	struct system *system;
	struct process *process; /* NULL in a handle to a system */
	BOOL created;            /* the create of this handle completes when a callback is registered */
	hcs_callback callback;   /* NULL while none is registered */
	void *context;
	BOOL disconnected;       /* the service was gone in between: no further notification comes */
};

/* The only lock, which guards every structure of the stand-in. It is not held while a
 * callback runs or a fault holds a call. */
void lock(void);
void unlock(void);

struct handle *handle_open(struct system *system, struct process *process);
void handle_close(struct handle *handle);
BOOL handle_known(struct handle *handle);
void handle_register(struct handle *handle, hcs_callback callback, void *context);
void handle_unregister(struct handle *handle); /* waits, unlocked, for a callback that is running */

void notify(struct handle *handle, enum notification type, DWORD status);
void notify_system(struct system *system, enum notification type, DWORD status);
void notify_process(struct process *process);
void service_check(void); /* makes the service go or return, as ordered */
void notify_start_threads(void);

/* ---- system.c ---- */

enum state { CREATED, RUNNING, PAUSED, STOPPED };

struct system {
	struct system *next;
	wchar_t *id, *owner;
	enum state state;
	BOOL hyperv, terminate_on_last_close;
	wchar_t *scratch;  /* folder of its scratch layer */
	BOOL ending;       /* stops as soon as no process is left */
	DWORD exit_status; /* the status in the notification of its end */
	int handles;
	HANDLE job;
	FILETIME created, started;
	struct process *processes;
};

extern struct system *systems;

struct system *system_find(const wchar_t *id);
hresult system_create(const wchar_t *id, const wchar_t *document, struct system **system);
void system_end(struct system *system, DWORD exit_code, DWORD status);
void system_process_ended(struct system *system);
void system_release(struct system *system); /* frees it if it has stopped and nobody holds it */
wchar_t *system_properties(struct system *system, const wchar_t *query);
wchar_t *system_list(const wchar_t *query);
BOOL system_uses(const wchar_t *scratch); /* reports whether a system that has not stopped uses it */

/* ---- layers.c ---- */

enum layer_state { INACTIVE, ACTIVE, PREPARED };

BOOL folder_exists(const wchar_t *path);
enum layer_state layer_state(const wchar_t *folder);

/* ---- process.c ---- */

struct process {
	struct process *next;
	struct system *system;
	HANDLE handle; /* NULL: no program runs */
	HANDLE theirs[3]; /* without a program: the far ends of the pipes */
	DWORD pid;
	BOOL console; /* it has an emulated console */
	HANDLE stdin_end; /* second handle to our end of stdin, closed on CloseStdin */
	BOOL exited;
	DWORD exit_code;
	int handles;
};

/* What HcsCreateProcess and HcsGetProcessInfo fill in. */
struct process_information {
	DWORD pid, reserved;
	HANDLE std[3];
};

/* A process that is started, suspended, and not yet in a system. */
struct start {
	PROCESS_INFORMATION started; /* zero without a program */
	BOOL over;        /* without a program: it ends at once */
	HANDLE ours[3];   /* our ends of its pipes */
	HANDLE theirs[3]; /* without a program: the far ends */
	BOOL console;
};

hresult process_start(const wchar_t *parameters, struct start *start); /* slow: call it without the lock */
void process_abandon(struct start *start);
struct process *process_run(struct system *system, struct start *start, struct process_information *info);
struct process *process_find(struct system *system, DWORD pid);
hresult process_terminate(struct process *process, DWORD exit_code);
hresult process_modify(struct process *process, const wchar_t *settings);
void process_release(struct process *process);
void process_start_threads(void);
struct text;
void process_list(struct text *out, struct system *system);
void process_statistics(struct text *out, struct system *system);

/* ---- faults.c ---- */

enum fault_kind { NO_FAULT, FAIL, HANG, SLOW, LATE, LOST, CRASH, NO_CODE };

struct fault {
	enum fault_kind kind;
	DWORD value; /* an HRESULT, or milliseconds */
};

/* Finds, and counts as used, the fault ordered for a call or notification. */
struct fault fault_for(const char *name, const wchar_t *id);
void fault_hang(void);
BOOL fault_service_gone(void);
void log_line(const char *what, const wchar_t *id, const wchar_t *text);
void log_status(const char *what, const wchar_t *id, DWORD status);

/* ---- calls.c ---- */

/* One call, from enter to leave. */
struct call {
	const char *name;
	wchar_t *id; /* of the system concerned, for the log */
	struct fault fault;
	wchar_t **result;
	hresult refused; /* why enter returned FALSE */
};

BOOL enter(struct call *call, const char *name, struct handle *handle, const wchar_t *id, const wchar_t *text, wchar_t **result);
hresult leave(struct call *call, hresult hr);

/* ---- json.c ---- */

BOOL json_valid(const wchar_t *text);
const wchar_t *json_member(const wchar_t *object, const wchar_t *name); /* the value, or NULL */
BOOL json_each(const wchar_t **at, const wchar_t **key, const wchar_t **value); /* *at starts at the { or [ */
wchar_t *json_string(const wchar_t *value); /* decoded, the caller frees it; NULL if it is not a string */
BOOL json_true(const wchar_t *value);
BOOL json_has(const wchar_t *array, const wchar_t *string); /* compares without case */

/* Text that grows: the JSON that a call returns. */
struct text {
	wchar_t *at;
	size_t length, capacity;
};
void text_add(struct text *text, const wchar_t *format, ...);
void text_quote(struct text *text, const wchar_t *string);
void text_time(struct text *text, FILETIME time);
wchar_t *text_for_caller(struct text *text); /* in CoTaskMemAlloc's memory; frees text */

#endif
