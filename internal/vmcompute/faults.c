/* The faults that a test orders, and the log of calls. README.md has the grammar. */
#include "standin.h"
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

#define MAX_ORDERS 64

/* The faults in force are the text of a variable, read at each call, so that a
 * test can change them at any time. */
static wchar_t *orders_text(void)
{
	DWORD size = GetEnvironmentVariableW(L"VMCOMPUTE_FAULTS", NULL, 0);
	if (!size)
		return NULL;
	wchar_t *text = calloc(size + 1, sizeof(wchar_t));
	if (GetEnvironmentVariableW(L"VMCOMPUTE_FAULTS", text, size) >= size)
		*text = 0; /* it has grown in between: the next call will read it */
	return text;
}

/* How often each fault has happened, in the order of the text. Starts again at 0
 * when the text changes. */
static SRWLOCK used_lock = SRWLOCK_INIT; /* guards the following */
static int used[MAX_ORDERS];
static wchar_t *used_text;

static BOOL still_good(const wchar_t *text, int order, int limit)
{
	BOOL good = FALSE;

	AcquireSRWLockExclusive(&used_lock);
	if (!used_text || wcscmp(used_text, text)) {
		free(used_text);
		used_text = _wcsdup(text);
		memset(used, 0, sizeof(used));
	}
	if (order < MAX_ORDERS)
		good = limit == 0 || used[order]++ < limit;
	ReleaseSRWLockExclusive(&used_lock);
	return good;
}

static struct fault parse_action(const wchar_t *action)
{
	static const struct {
		const wchar_t *word;
		enum fault_kind kind;
	} kinds[] = {
		{L"hang", HANG}, {L"slow:", SLOW}, {L"late:", LATE}, {L"lost", LOST},
		{L"crash", CRASH}, {L"nocode", NO_CODE},
	};
	struct fault fault = {NO_FAULT, 0};

	if (!wcsncmp(action, L"0x", 2)) {
		fault.kind = FAIL;
		fault.value = wcstoul(action, NULL, 16);
		return fault;
	}
	for (size_t i = 0; i < ARRAYSIZE(kinds); i++) {
		size_t length = wcslen(kinds[i].word);
		if (!wcsncmp(action, kinds[i].word, length)) {
			fault.kind = kinds[i].kind;
			fault.value = wcstoul(action + length, NULL, 10);
		}
	}
	return fault;
}

struct fault fault_for(const char *name, const wchar_t *id)
{
	struct fault fault = {NO_FAULT, 0};
	wchar_t wide[64], *rest = NULL;
	wchar_t *text = orders_text();

	if (!text)
		return fault;
	swprintf(wide, 64, L"%hs", name);
	wchar_t *copy = _wcsdup(text);
	int order = 0;
	for (wchar_t *at = wcstok_s(copy, L";", &rest); at; at = wcstok_s(NULL, L";", &rest), order++) {
		wchar_t *action = wcschr(at, '=');
		if (!action)
			continue;
		*action++ = 0;
		wchar_t *times = wcschr(action, '*');
		wchar_t *only = wcschr(at, '@');
		if (only)
			*only++ = 0;
		if (wcscmp(at, wide) || (only && (!id || wcscmp(only, id))))
			continue;
		if (!still_good(text, order, times ? _wtoi(times + 1) : 0))
			continue;
		fault = parse_action(action);
		break;
	}
	free(copy);
	free(text);
	return fault;
}

/* Waits until the orders change, which ends a hang. */
void fault_hang(void)
{
	wchar_t *before = orders_text(), *now = orders_text();

	while (before && now && !wcscmp(before, now)) {
		Sleep(10);
		free(now);
		now = orders_text();
	}
	free(before);
	free(now);
}

BOOL fault_service_gone(void)
{
	wchar_t *text = orders_text();
	BOOL gone = text && wcsstr(text, L"Service=gone");
	free(text);
	return gone;
}

static SRWLOCK log_lock = SRWLOCK_INIT; /* Wine mixes lines that are appended at the same time */

static void append(const wchar_t *path, const char *line, DWORD length)
{
	AcquireSRWLockExclusive(&log_lock);
	HANDLE file = CreateFileW(path, FILE_APPEND_DATA, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
		NULL, OPEN_ALWAYS, 0, NULL);
	if (file != INVALID_HANDLE_VALUE) {
		WriteFile(file, line, length, &length, NULL);
		CloseHandle(file);
	}
	ReleaseSRWLockExclusive(&log_lock);
}

static void write_line(const char *what, const wchar_t *id, const wchar_t *text)
{
	wchar_t path[MAX_PATH];

	if (!GetEnvironmentVariableW(L"VMCOMPUTE_LOG", path, MAX_PATH))
		return;
	int size = strlen(what) + 3 * (wcslen(id) + wcslen(text)) + 4;
	char *line = malloc(size);
	int n = sprintf(line, "%s\t", what);
	n += WideCharToMultiByte(CP_UTF8, 0, id, -1, line + n, size - n, NULL, NULL) - 1;
	line[n++] = '\t';
	n += WideCharToMultiByte(CP_UTF8, 0, text, -1, line + n, size - n, NULL, NULL) - 1;
	line[n++] = '\n';
	append(path, line, n);
	free(line);
}

void log_line(const char *what, const wchar_t *id, const wchar_t *text)
{
	write_line(what, id ? id : L"", text ? text : L"");
}

void log_status(const char *what, const wchar_t *id, DWORD status)
{
	wchar_t text[16];
	swprintf(text, 16, L"0x%08X", status);
	log_line(what, id, text);
}
