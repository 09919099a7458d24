package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	dockerclient "github.com/moby/moby/client"
)

func TestAddressThatOthersReachNeedsCertificatesOfTheClients(t *testing.T) {
	files := writeCertificates(t, t.TempDir())
	withoutCA := files
	withoutCA.ca = ""
	for _, c := range []struct {
		address string
		files   tlsFiles
		wrong   string // part of the error; "": none
	}{
		{"tcp://127.0.0.1:0", tlsFiles{}, ""},
		{"tcp://[::1]:0", tlsFiles{}, ""},
		{"tcp://localhost:0", tlsFiles{}, ""},
		{"tcp://0.0.0.0:0", tlsFiles{}, "other computers"},
		{"tcp://:0", tlsFiles{}, "other computers"},
		{"tcp://192.0.2.1:0", tlsFiles{}, "other computers"},
		{"tcp://example.com:0", tlsFiles{}, "other computers"},
		{"tcp://0.0.0.0:0", withoutCA, "other computers"},
		{"tcp://0.0.0.0:0", files, ""},
		{"tcp://127.0.0.1:0", withoutCA, ""},
		{"tcp://127.0.0.1:0", tlsFiles{cert: files.cert}, "--tlskey"},
		{"tcp://127.0.0.1:0", tlsFiles{cert: files.key, key: files.key}, "certificate of the daemon"},
		{"tcp://127.0.0.1:0", tlsFiles{cert: files.cert, key: files.key, ca: files.key}, "holds no certificate"},
		{"unix:///nowhere", files, "TLS is for tcp"},
		{"127.0.0.1:2375", tlsFiles{}, "want tcp://"},
		{"http://127.0.0.1:0", tlsFiles{}, "none of tcp"},
	} {
		listener, err := listen(c.address, c.files)
		if err == nil {
			listener.Close()
		}
		switch {
		case c.wrong == "" && err != nil && strings.Contains(c.address, "::1") && !strings.Contains(err.Error(), "other computers"):
			// a host without IPv6
		case c.wrong == "" && err != nil, c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
			t.Errorf("%s %+v: %v", c.address, c.files, err)
		}
	}
}

// writeCertificates makes an authority, and a certificate for 127.0.0.1 that server
// and client use.
func writeCertificates(t *testing.T, dir string) tlsFiles {
	t.Helper()
	caKey, caCert := certificate(t, nil, nil, &x509.Certificate{IsCA: true, KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true})
	key, cert := certificate(t, caCert, caKey, &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	keyData, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return tlsFiles{
		cert: write("cert.pem", "CERTIFICATE", cert.Raw), key: write("key.pem", "EC PRIVATE KEY", keyData),
		ca: write("ca.pem", "CERTIFICATE", caCert.Raw),
	}
}

// certificate makes a certificate that parent signs; nil: itself.
func certificate(t *testing.T, parent *x509.Certificate, parentKey *ecdsa.PrivateKey, c *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: "test"}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if parent == nil {
		parent, parentKey = c, key
	}
	data, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(data)
	if err != nil {
		t.Fatal(err)
	}
	return key, made
}

func TestClientNeedsACertificate(t *testing.T) {
	files := writeCertificates(t, t.TempDir())
	p := play(t)
	listener, err := listen("tcp://127.0.0.1:0", files)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: p.daemon.handler(), ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	address := listener.Addr().String()
	client, err := dockerclient.New(dockerclient.WithHost("tcp://"+address), dockerclient.WithTLSClientConfig(files.ca, files.cert, files.key))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Ping(t.Context(), dockerclient.PingOptions{}); err != nil {
		t.Error(err)
	}
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // what the server asks for is the matter here
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
		conn.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without a certificate: %v", err)
	}
}

func TestSocketIsItsOwnersAndReplacesADeadOne(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has named pipes for that")
	}
	path := filepath.Join(shortDir(t), "sock")
	first, err := listen("unix://"+path, tlsFiles{})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, error %v", info.Mode(), err)
	}
	if _, err := listen("unix://"+path, tlsFiles{}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second daemon: %v", err)
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false) // as if the daemon had been killed
	first.Close()
	second, err := listen("unix://"+path, tlsFiles{})
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
	if err := os.WriteFile(path, []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listen("unix://"+path, tlsFiles{}); err == nil {
		t.Error("a file of the user was replaced")
	}
}

func TestRequestsOfWebPagesAreRefused(t *testing.T) {
	p := play(t)
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"a client", func(*http.Request) {}, http.StatusOK},
		{"a page of another site", func(r *http.Request) { r.Header.Set("Origin", "http://example.com") }, http.StatusForbidden},
		{"a page whose name was made to mean this computer", func(r *http.Request) { r.Host = "example.com:2375" }, http.StatusForbidden},
		{"localhost", func(r *http.Request) { r.Host = "localhost:2375" }, http.StatusOK},
		{"too new a client", func(r *http.Request) { r.URL.Path = "/v1.99/version" }, http.StatusBadRequest},
		{"too old a client", func(r *http.Request) { r.URL.Path = "/v1.23/version" }, http.StatusBadRequest},
		{"Docker 20.10", func(r *http.Request) { r.URL.Path = "/v1.41/version" }, http.StatusOK},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.server.URL+"/version", nil)
		if err != nil {
			t.Fatal(err)
		}
		c.change(r)
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != c.status || answer.Header.Get("Ostype") != "windows" && c.status != http.StatusForbidden {
			t.Errorf("%s: %s %s", c.name, answer.Status, body)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestArgumentsAreChecked(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "images.json")
	if err := os.WriteFile(bad, []byte(`{"nanoserver": {}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args  []string
		wrong string
	}{
		{[]string{"extra"}, `unexpected argument "extra"`},
		{[]string{"--simulate", "--host", "tcp://0.0.0.0:2375", "--state", t.TempDir()}, "other computers"},
		{[]string{"--simulate", "--images", bad}, "neither"},
		{[]string{"--simulate", "--images", filepath.Join(t.TempDir(), "none")}, "no such file"},
	} {
		if err := serve(t.Context(), c.args, io.Discard); err == nil || !strings.Contains(err.Error(), c.wrong) && runtime.GOOS != "windows" {
			t.Errorf("%q: %v", c.args, err)
		}
	}
	if runtime.GOOS != "windows" {
		if err := serve(t.Context(), []string{"--state", t.TempDir()}, io.Discard); err == nil || !strings.Contains(err.Error(), "--simulate") {
			t.Errorf("without HCS: %v", err)
		}
	}
}

func TestStateIsForOneDaemon(t *testing.T) {
	p := play(t)
	if _, err := openStore(p.host.dir); err == nil || !strings.Contains(err.Error(), "another daemon") {
		t.Errorf("%v", err)
	}
}
