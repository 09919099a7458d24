//go:build !windows

package main

import (
	"fmt"
	"net"
)

func listenPipe(name string) (net.Listener, error) {
	return nil, fmt.Errorf("named pipe %s: only Windows has them", name)
}
