/* Reads and writes JSON, as far as the stand-in needs it. */
#include "standin.h"
#include <objbase.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

static const wchar_t *space(const wchar_t *p)
{
	while (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')
		p++;
	return p;
}

/* Returns the end of the value at p, NULL if the value is not well-formed. */
static const wchar_t *skip(const wchar_t *p)
{
	if (*p == '"') {
		for (p++; *p != '"'; p++)
			if (*p < ' ' || (*p == '\\' && *++p == 0))
				return NULL;
		return p + 1;
	}
	if (*p == '{' || *p == '[') {
		const wchar_t *at = p, *key, *value;
		while (json_each(&at, &key, &value))
			;
		return at;
	}
	const wchar_t *start = p;
	while (*p && wcschr(L"-+.0123456789abcdefghijklmnopqrstuvwxyzE", *p))
		p++;
	return p > start ? p : NULL;
}

/* Moves *at behind the next member. At the end of the container it returns FALSE,
 * with *at behind the container. If the text is not well-formed, it returns FALSE,
 * with *at NULL. */
BOOL json_each(const wchar_t **at, const wchar_t **key, const wchar_t **value)
{
	const wchar_t *p = *at;
	BOOL first = *p == '{' || *p == '[';
	BOOL object = *p == '{' || (!first && **key == '"');

	*at = NULL;
	if (first) {
		p = space(p + 1);
	} else {
		p = space(p);
		if (*p == ',')
			p = space(p + 1);
		else if (*p != '}' && *p != ']')
			return FALSE;
	}
	if (*p == '}' || *p == ']') {
		*at = p + 1;
		return FALSE;
	}
	*key = L"";
	if (object) {
		*key = p;
		p = *p == '"' ? skip(p) : NULL;
		if (!p || *(p = space(p)) != ':')
			return FALSE;
		p = space(p + 1);
	}
	*value = p;
	p = skip(p);
	if (!p)
		return FALSE;
	*at = space(p);
	/* the text ends inside the container */
	if (**at == 0)
		*at = NULL;
	return *at != NULL;
}

BOOL json_valid(const wchar_t *text)
{
	const wchar_t *end = text ? skip(space(text)) : NULL;
	return end && *space(end) == 0;
}

const wchar_t *json_member(const wchar_t *object, const wchar_t *name)
{
	const wchar_t *at, *key, *value;
	size_t length = wcslen(name);

	if (!object || *(at = space(object)) != '{')
		return NULL;
	while (json_each(&at, &key, &value))
		if (!_wcsnicmp(key + 1, name, length) && key[length + 1] == '"')
			return value;
	return NULL;
}

static wchar_t escaped(const wchar_t **p)
{
	switch (**p) {
	case 'n': return '\n';
	case 't': return '\t';
	case 'r': return '\r';
	case 'b': return '\b';
	case 'f': return '\f';
	case 'u': {
		wchar_t digits[5] = {0};
		wcsncpy(digits, *p + 1, 4);
		*p += wcslen(digits);
		return (wchar_t)wcstoul(digits, NULL, 16);
	}
	}
	return **p;
}

wchar_t *json_string(const wchar_t *value)
{
	if (!value || *value != '"')
		return NULL;
	wchar_t *decoded = malloc((skip(value) - value) * sizeof(wchar_t)), *out = decoded;
	for (const wchar_t *p = value + 1; *p != '"'; p++) {
		if (*p == '\\') {
			p++;
			*out++ = escaped(&p);
		} else {
			*out++ = *p;
		}
	}
	*out = 0;
	return decoded;
}

BOOL json_true(const wchar_t *value)
{
	return value && !wcsncmp(value, L"true", 4);
}

BOOL json_has(const wchar_t *array, const wchar_t *string)
{
	const wchar_t *at = array, *key, *value;
	BOOL found = FALSE;

	if (!at || *at != '[')
		return FALSE;
	while (!found && json_each(&at, &key, &value)) {
		wchar_t *element = json_string(value);
		found = element && !_wcsicmp(element, string);
		free(element);
	}
	return found;
}

static void reserve(struct text *text, size_t more)
{
	if (text->length + more < text->capacity)
		return;
	text->capacity = (text->length + more) * 2;
	text->at = realloc(text->at, text->capacity * sizeof(wchar_t));
}

void text_add(struct text *text, const wchar_t *format, ...)
{
	va_list args;

	va_start(args, format);
	reserve(text, 512);
	int n = _vsnwprintf(text->at + text->length, 511, format, args);
	text->length += n > 0 ? n : 0;
	text->at[text->length] = 0;
	va_end(args);
}

void text_quote(struct text *text, const wchar_t *string)
{
	reserve(text, 6 * wcslen(string) + 3);
	text_add(text, L"\"");
	for (; *string; string++) {
		if (*string == '"' || *string == '\\')
			text_add(text, L"\\%c", *string);
		else if (*string < ' ')
			text_add(text, L"\\u%04x", *string);
		else
			text_add(text, L"%c", *string);
	}
	text_add(text, L"\"");
}

void text_time(struct text *text, FILETIME time)
{
	SYSTEMTIME t;
	ULONGLONG ticks = (ULONGLONG)time.dwHighDateTime << 32 | time.dwLowDateTime;

	FileTimeToSystemTime(&time, &t);
	text_add(text, L"\"%04d-%02d-%02dT%02d:%02d:%02d.%07dZ\"", t.wYear, t.wMonth, t.wDay,
		t.wHour, t.wMinute, t.wSecond, (int)(ticks % 10000000));
}

wchar_t *text_for_caller(struct text *text)
{
	wchar_t *copy = CoTaskMemAlloc((text->length + 1) * sizeof(wchar_t));
	wcscpy(copy, text->at);
	free(text->at);
	return copy;
}
