package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
)

// tlsFiles are the certificates of a TCP address. The zero value is no TLS.
type tlsFiles struct {
	cert, key string
	ca        string // of the clients, which must have a certificate then
}

// config returns nil without TLS.
func (f tlsFiles) config() (*tls.Config, error) {
	if f == (tlsFiles{}) {
		return nil, nil
	}
	if f.cert == "" || f.key == "" {
		return nil, errors.New("TLS needs both --tlscert and --tlskey")
	}
	cert, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, fmt.Errorf("certificate of the daemon: %w", err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if f.ca == "" {
		return config, nil
	}
	pem, err := os.ReadFile(f.ca)
	if err != nil {
		return nil, fmt.Errorf("certificate authority of the clients: %w", err)
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", f.ca)
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	return config, nil
}

// listen listens on an address as docker -H takes it: tcp://HOST:PORT, unix://PATH or
// npipe:////./pipe/NAME.
//
// Whoever reaches the address can do everything that the daemon can. So an address
// that other computers reach is refused unless clients must have a certificate.
func listen(address string, files tlsFiles) (net.Listener, error) {
	protocol, rest, ok := strings.Cut(address, "://")
	if !ok {
		return nil, fmt.Errorf("address %q: want tcp://HOST:PORT, unix://PATH or npipe:////./pipe/NAME", address)
	}
	if protocol != "tcp" && files != (tlsFiles{}) {
		return nil, fmt.Errorf("address %q: TLS is for tcp", address)
	}
	switch protocol {
	case "tcp":
		return listenTCP(rest, files)
	case "unix":
		return listenUnix(rest)
	case "npipe":
		return listenPipe(strings.ReplaceAll(rest, "/", `\`))
	}
	return nil, fmt.Errorf("address %q: protocol %s is none of tcp, unix and npipe", address, protocol)
}

func listenTCP(address string, files tlsFiles) (net.Listener, error) {
	if !isLoopback(address) && files.ca == "" {
		return nil, fmt.Errorf("address %q can be reached from other computers, and whoever reaches it rules this one: "+
			"use localhost, or TLS with certificates of the clients (--tlscert, --tlskey, --tlscacert)", address)
	}
	config, err := files.config()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil || config == nil {
		return listener, err
	}
	return tls.NewListener(listener, config), nil
}

// isLoopback reports whether HOST or HOST:PORT names this computer alone.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// listenUnix listens on a socket that its owner alone can use. A socket that nobody
// listens on is left from a daemon that has died, and is replaced.
func listenUnix(path string) (net.Listener, error) {
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("address unix://%s is in use", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}
