package libcontainerd

// HostService is the ComputeService that a Client takes on Windows.
var HostService = hostService
