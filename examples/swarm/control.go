package swarm

import (
	"crypto/tls"
	"fmt"
	"math"
	"net"
	"time"

	"github.com/moby/swarmkit/v2/xnet"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// DialControl connects to the control socket of a manager, for the clients of
// swarmkit's API. It does not wait until there is somebody. The socket lets in whoever
// the file system does, so the certificate proves nothing and is not checked.
func DialControl(socket string) (*grpc.ClientConn, error) {
	conn, err := grpc.Dial(socket, //nolint:staticcheck // NewClient would resolve the socket as a host
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)), // a list of many tasks
		grpc.WithDialer(func(addr string, timeout time.Duration) (net.Conn, error) { //nolint:staticcheck // xnet knows of no context
			return xnet.DialTimeoutLocal(addr, timeout)
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", socket, err)
	}
	return conn, nil
}
