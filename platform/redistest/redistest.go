// Package redistest starts Redis servers for tests, from the program on the machine (Debian: apt-get install redis-server).
//
// Without Redis a test is skipped, loudly; with CI=true or TRIVET_TEST_REQUIRE=1 it fails.
package redistest

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/skip"
)

// Server is a Redis of a test's own, at a socket in a temporary folder. It stores nothing.
type Server struct {
	program string
	socket  string
	process *exec.Cmd
}

// New starts a server that ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	skip.Unless(t, "Redis", err, "install it (Debian: apt-get install redis-server)")
	dir, err := os.MkdirTemp("", "trivet-redis-") //nolint:usetesting // a socket's path must be short
	require.NoError(t, err)
	s := &Server{program: program, socket: filepath.Join(dir, "s")}
	s.Start(t)
	t.Cleanup(func() {
		s.Stop(t)
		require.NoError(t, os.RemoveAll(dir))
	})
	return s
}

// URL is the server's address.
func (s *Server) URL() string { return "unix://" + s.socket }

// Start starts a server that was stopped.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.process = exec.Command(s.program, "--port", "0", "--unixsocket", s.socket, "--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning") //nolint:gosec // the program is found in PATH
	require.NoError(t, s.process.Start())
	require.Eventually(t, func() bool {
		c, err := net.Dial("unix", s.socket)
		if err != nil {
			return false
		}
		return c.Close() == nil
	}, 30*time.Second, 5*time.Millisecond, "Redis does not start")
}

// Stop kills the server. It does nothing when the server does not run.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if s.process == nil {
		return
	}
	require.NoError(t, s.process.Process.Kill())
	_ = s.process.Wait() // it was killed
	s.process = nil
	_ = os.Remove(s.socket)
}

// Freeze stops the server from answering; its connections stay open. Thaw ends that.
func (s *Server) Freeze(t testing.TB) {
	t.Helper()
	require.NoError(t, s.process.Process.Signal(syscall.SIGSTOP))
}

// Thaw lets the server answer again.
func (s *Server) Thaw(t testing.TB) {
	t.Helper()
	require.NoError(t, s.process.Process.Signal(syscall.SIGCONT))
}

// As is the server's address with a user and a password.
func (s *Server) As(user, password string) string {
	return "unix://" + user + ":" + password + "@" + s.socket
}

// Do runs a command, such as one of access lists, as the given user; "" as the default one. It returns the output.
func (s *Server) Do(t testing.TB, user, password string, command ...string) string {
	t.Helper()
	out, err := s.Try(t.Context(), user, password, command...)
	require.NoError(t, err, "%s", out)
	return out
}

// Try is Do for a goroutine, which must not fail the test.
func (s *Server) Try(ctx context.Context, user, password string, command ...string) (string, error) {
	args := []string{"-s", s.socket, "--no-auth-warning", "-e"}
	if user != "" {
		args = append(args, "--user", user, "--pass", password)
	}
	out, err := exec.CommandContext(ctx, "redis-cli", append(args, command...)...).CombinedOutput() //nolint:gosec // of a test
	return string(out), err
}
