/* The calls for layers. The state of a layer is in its folder, because a mount
 * outlives the process that made it. README.md has the rules. */
#include "standin.h"
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

/* As hcsshim fills them in; it passes the whole path of a layer as its id. */
struct driver_info {
	int flavour;
	const wchar_t *home;
};

struct layer_descriptor {
	GUID id;
	DWORD flags;
	const wchar_t *path;
};

static const wchar_t disk_name[] = L"sandbox.vhdx", state_name[] = L"standin.state";

static wchar_t *join(const wchar_t *folder, const wchar_t *name)
{
	size_t size = wcslen(folder) + wcslen(name) + 2;
	wchar_t *path = malloc(size * sizeof(wchar_t));

	swprintf(path, size, L"%ls\\%ls", folder, name);
	return path;
}

BOOL folder_exists(const wchar_t *path)
{
	DWORD attributes = GetFileAttributesW(path);
	return attributes != INVALID_FILE_ATTRIBUTES && attributes & FILE_ATTRIBUTE_DIRECTORY;
}

static BOOL is_scratch(const wchar_t *folder)
{
	wchar_t *path = join(folder, disk_name);
	BOOL is = GetFileAttributesW(path) != INVALID_FILE_ATTRIBUTES;
	free(path);
	return is;
}

static DWORD write_file(const wchar_t *folder, const wchar_t *name, const char *text)
{
	wchar_t *path = join(folder, name);
	HANDLE file = CreateFileW(path, GENERIC_WRITE, FILE_SHARE_READ, NULL, CREATE_ALWAYS, 0, NULL);
	DWORD error = 0, written;

	if (file == INVALID_HANDLE_VALUE || !WriteFile(file, text, strlen(text), &written, NULL))
		error = GetLastError();
	if (file != INVALID_HANDLE_VALUE)
		CloseHandle(file);
	free(path);
	return error;
}

enum layer_state layer_state(const wchar_t *folder)
{
	wchar_t *path = join(folder, state_name);
	HANDLE file = CreateFileW(path, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
	char first = 0;
	DWORD read = 0;

	free(path);
	if (file == INVALID_HANDLE_VALUE)
		return INACTIVE;
	ReadFile(file, &first, 1, &read, NULL);
	CloseHandle(file);
	return first == 'p' ? PREPARED : ACTIVE;
}

static hresult set_state(const wchar_t *folder, enum layer_state state)
{
	DWORD error;

	if (state == INACTIVE) {
		wchar_t *path = join(folder, state_name);
		error = DeleteFileW(path) ? 0 : GetLastError();
		free(path);
	} else {
		error = write_file(folder, state_name, state == PREPARED ? "prepared\n" : "active\n");
	}
	return error ? WIN32_HR(error) : 0;
}

/* Begins a call for a layer. The log and the faults name a layer by its folder. */
static BOOL enter_layer(struct call *call, const char *name, const wchar_t *folder,
	const struct layer_descriptor *parents, ULONG_PTR count)
{
	struct text text = {0};
	const wchar_t *base = wcsrchr(folder, '\\');

	text_add(&text, L"%ls", folder);
	for (ULONG_PTR i = 0; i < count; i++)
		text_add(&text, L";%ls", parents[i].path);
	BOOL entered = enter(call, name, NULL, base ? base + 1 : folder, text.at, NULL);
	free(text.at);
	return entered;
}

static BOOL all_folders(const struct layer_descriptor *parents, ULONG_PTR count)
{
	for (ULONG_PTR i = 0; i < count; i++)
		if (!folder_exists(parents[i].path))
			return FALSE;
	return TRUE;
}

static hresult make_folder(const wchar_t *folder)
{
	if (folder_exists(folder) || CreateDirectoryW(folder, NULL))
		return 0;
	return WIN32_HR(GetLastError());
}

hresult CreateLayer(UNUSED const struct driver_info *info, const wchar_t *folder, UNUSED const wchar_t *parent)
{
	struct call call;

	if (!enter_layer(&call, "CreateLayer", folder, NULL, 0))
		return call.refused;
	return leave(&call, make_folder(folder));
}

static hresult create_scratch(const wchar_t *folder, const struct layer_descriptor *parents, ULONG_PTR count)
{
	if (count == 0)
		return WIN32_HR(ERROR_INVALID_PARAMETER);
	if (!all_folders(parents, count))
		return WIN32_HR(ERROR_PATH_NOT_FOUND);
	if (is_scratch(folder))
		return WIN32_HR(ERROR_FILE_EXISTS);
	hresult hr = make_folder(folder);
	if (hr)
		return hr;
	DWORD error = write_file(folder, disk_name, "a disk of the stand-in\n");
	return error ? WIN32_HR(error) : 0;
}

hresult CreateSandboxLayer(UNUSED const struct driver_info *info, const wchar_t *folder, UNUSED ULONG_PTR parent,
	const struct layer_descriptor *parents, ULONG_PTR count)
{
	struct call call;

	if (!enter_layer(&call, "CreateSandboxLayer", folder, parents, count))
		return call.refused;
	return leave(&call, create_scratch(folder, parents, count));
}

hresult ExpandSandboxSize(UNUSED const struct driver_info *info, const wchar_t *folder, ULONGLONG size)
{
	struct call call;

	if (!enter_layer(&call, "ExpandSandboxSize", folder, NULL, 0))
		return call.refused;
	if (!is_scratch(folder))
		return leave(&call, WIN32_HR(ERROR_FILE_NOT_FOUND));
	if (layer_state(folder) != INACTIVE)
		return leave(&call, WIN32_HR(ERROR_SHARING_VIOLATION));
	return leave(&call, size ? 0 : WIN32_HR(ERROR_INVALID_PARAMETER));
}

hresult ActivateLayer(UNUSED const struct driver_info *info, const wchar_t *folder)
{
	struct call call;

	if (!enter_layer(&call, "ActivateLayer", folder, NULL, 0))
		return call.refused;
	if (!folder_exists(folder))
		return leave(&call, WIN32_HR(ERROR_PATH_NOT_FOUND));
	if (layer_state(folder) != INACTIVE)
		return leave(&call, WIN32_HR(ERROR_SHARING_VIOLATION));
	return leave(&call, set_state(folder, ACTIVE));
}

hresult PrepareLayer(UNUSED const struct driver_info *info, const wchar_t *folder,
	const struct layer_descriptor *parents, ULONG_PTR count)
{
	struct call call;

	if (!enter_layer(&call, "PrepareLayer", folder, parents, count))
		return call.refused;
	if (layer_state(folder) != ACTIVE)
		return leave(&call, WIN32_HR(ERROR_NOT_READY));
	if (!all_folders(parents, count))
		return leave(&call, WIN32_HR(ERROR_PATH_NOT_FOUND));
	return leave(&call, set_state(folder, PREPARED));
}

/* The id of the volume is made from the name of the scratch's folder. */
static hresult mount_path(const wchar_t *folder, wchar_t *path, size_t size)
{
	ULONGLONG hash = 0xcbf29ce484222325;

	if (!folder_exists(folder))
		return WIN32_HR(ERROR_PATH_NOT_FOUND);
	if (!is_scratch(folder)) {
		swprintf(path, size, L"%ls", folder);
		return 0;
	}
	if (layer_state(folder) == INACTIVE)
		return WIN32_HR(ERROR_NOT_READY);
	for (const wchar_t *c = folder; *c; c++)
		hash = (hash ^ *c) * 0x100000001b3;
	swprintf(path, size, L"\\\\?\\Volume{%08lx-0000-4000-8000-%012llx}\\",
		(unsigned long)(hash >> 32 & 0xffffffff), hash & 0xffffffffffff);
	return 0;
}

/* Called twice, first without a buffer, to get the length with the zero. */
hresult GetLayerMountPath(UNUSED const struct driver_info *info, const wchar_t *folder, ULONG_PTR *length, wchar_t *buffer)
{
	struct call call;
	wchar_t path[1024];

	if (!enter_layer(&call, "GetLayerMountPath", folder, NULL, 0))
		return call.refused;
	hresult hr = mount_path(folder, path, ARRAYSIZE(path));
	if (!hr && buffer && *length <= wcslen(path))
		hr = WIN32_HR(ERROR_INSUFFICIENT_BUFFER);
	if (!hr) {
		*length = wcslen(path) + 1;
		if (buffer)
			wcscpy(buffer, path);
	}
	return leave(&call, hr);
}

hresult UnprepareLayer(UNUSED const struct driver_info *info, const wchar_t *folder)
{
	struct call call;

	if (!enter_layer(&call, "UnprepareLayer", folder, NULL, 0))
		return call.refused;
	if (layer_state(folder) != PREPARED)
		return leave(&call, WIN32_HR(ERROR_NOT_READY));
	if (system_uses(folder))
		return leave(&call, WIN32_HR(ERROR_SHARING_VIOLATION));
	return leave(&call, set_state(folder, ACTIVE));
}

hresult DeactivateLayer(UNUSED const struct driver_info *info, const wchar_t *folder)
{
	struct call call;

	if (!enter_layer(&call, "DeactivateLayer", folder, NULL, 0))
		return call.refused;
	if (layer_state(folder) == INACTIVE)
		return leave(&call, WIN32_HR(ERROR_NOT_READY));
	if (layer_state(folder) == PREPARED)
		return leave(&call, WIN32_HR(ERROR_SHARING_VIOLATION));
	return leave(&call, set_state(folder, INACTIVE));
}

static BOOL remove_all(const wchar_t *folder)
{
	WIN32_FIND_DATAW found;
	wchar_t *pattern = join(folder, L"*");
	HANDLE search = FindFirstFileW(pattern, &found);
	BOOL removed = search != INVALID_HANDLE_VALUE;

	free(pattern);
	while (removed) {
		wchar_t *path = join(folder, found.cFileName);
		if (!(found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY))
			removed = DeleteFileW(path);
		else if (wcscmp(found.cFileName, L".") && wcscmp(found.cFileName, L".."))
			removed = remove_all(path);
		free(path);
		if (!removed || !FindNextFileW(search, &found))
			break;
	}
	if (search != INVALID_HANDLE_VALUE)
		FindClose(search);
	return removed && RemoveDirectoryW(folder);
}

hresult DestroyLayer(UNUSED const struct driver_info *info, const wchar_t *folder)
{
	struct call call;

	if (!enter_layer(&call, "DestroyLayer", folder, NULL, 0))
		return call.refused;
	if (!folder_exists(folder))
		return leave(&call, WIN32_HR(ERROR_PATH_NOT_FOUND));
	if (layer_state(folder) != INACTIVE)
		return leave(&call, WIN32_HR(ERROR_SHARING_VIOLATION));
	return leave(&call, remove_all(folder) ? 0 : WIN32_HR(GetLastError()));
}

hresult LayerExists(UNUSED const struct driver_info *info, const wchar_t *folder, DWORD *exists)
{
	struct call call;

	if (!enter_layer(&call, "LayerExists", folder, NULL, 0))
		return call.refused;
	*exists = folder_exists(folder);
	return leave(&call, 0);
}
