package main

import (
	"net"

	"github.com/Microsoft/go-winio"
)

// listenPipe listens on a named pipe that administrators and the system can use.
// Messages let either side end what it writes.
func listenPipe(name string) (net.Listener, error) {
	return winio.ListenPipe(name, &winio.PipeConfig{
		SecurityDescriptor: "D:P(A;;GA;;;BA)(A;;GA;;;SY)",
		MessageMode:        true,
		InputBufferSize:    64 << 10,
		OutputBufferSize:   64 << 10,
	})
}
