package databasetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/skip"
)

// Server is a PostgreSQL server of one's own, for tests that stop it and for programs that measure.
type Server struct {
	bin, dir, data string
	durable        bool
	as             *syscall.Credential
	life           *os.File // while it is open, the server runs
	process        *exec.Cmd
}

// errMissing says that the machine has no PostgreSQL.
var errMissing = errors.New("initdb and postgres are neither in PATH nor in /usr/lib/postgresql/*/bin")

// NewServer starts a server that ends with the test. A durable one has fsync on, as in production; else it is off.
func NewServer(t testing.TB, durable bool) *Server {
	t.Helper()
	s := newServer(t, durable)
	require.NoError(t, s.Start())
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// StartServer starts a server outside of a test, with its data in a new folder dir, whose parents anybody may enter. Close
// it; it also ends with the process.
func StartServer(dir string, durable bool) (*Server, error) {
	s, err := create(dir, durable)
	if err != nil {
		return nil, err
	}
	if err := s.Start(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// newServer makes the data directory in the system's folder for temporary files.
func newServer(t testing.TB, durable bool) *Server {
	t.Helper()
	s, err := create("", durable)
	if errors.Is(err, errMissing) {
		skip.Unless(t, "PostgreSQL", err, "install it (Debian: apt-get install postgresql) or set TEST_POSTGRES_URL")
	}
	require.NoError(t, err)
	return s
}

// create makes the data directory; an empty one is next to the socket.
func create(data string, durable bool) (s *Server, err error) {
	s = &Server{durable: durable}
	if s.bin, err = programs(); err != nil {
		return nil, err
	}
	if s.as, err = owner(); err != nil {
		return nil, err
	}
	// A folder in any case: a socket's path must be short.
	if s.dir, err = os.MkdirTemp("", "trivet-pg-"); err != nil {
		return nil, err
	}
	if s.data, err = filepath.Abs(cmp.Or(data, filepath.Join(s.dir, "data"))); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.initialize(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) initialize() error {
	if err := os.Mkdir(s.data, 0o700); err != nil {
		return err
	}
	if s.as != nil {
		for _, dir := range []string{s.dir, s.data} {
			if err := os.Chown(dir, int(s.as.Uid), int(s.as.Gid)); err != nil {
				return err
			}
		}
	}
	initdb := s.command(context.Background(), filepath.Join(s.bin, "initdb"), "--no-sync", "--auth=trust", "--username=postgres",
		"--encoding=UTF8", "--locale=C", "--pgdata="+s.data)
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

// Close ends the server and removes its files.
func (s *Server) Close() error {
	s.Stop()
	return errors.Join(os.RemoveAll(s.data), os.RemoveAll(s.dir))
}

// programs finds the folder of PostgreSQL's programs, the newest version first.
func programs() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	version := func(dir string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		return n
	}
	slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
	if at, err := exec.LookPath("initdb"); err == nil {
		found = append(found, filepath.Dir(at))
	}
	for _, dir := range found {
		_, noInit := os.Stat(filepath.Join(dir, "initdb"))
		_, noServer := os.Stat(filepath.Join(dir, "postgres"))
		if noInit == nil && noServer == nil {
			return dir, nil
		}
	}
	return "", errMissing
}

// owner chooses the user that runs the server: PostgreSQL refuses root.
func owner() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // as ourselves
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody")
}

func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // our own programs
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Setpgid: true}
	return cmd
}

// keeper runs a program until its standard input ends, which it does at the latest when the test process dies. A frozen program does not
// hear the first signal before the second one.
const keeper = `"$@" >"$LOG" 2>&1 & pid=$!; cat >/dev/null; kill -"$SIGNAL" $pid; kill -CONT $pid; wait $pid; [ -z "$REMOVE" ] || rm -rf "$REMOVE"`

// Start runs the server and waits until it answers.
func (s *Server) Start() error { return s.start("") }

func (s *Server) start(remove string) error {
	settings := []string{"listen_addresses=", "max_connections=200", "wal_level=minimal", "max_wal_senders=0", "shared_buffers=64MB"}
	if !s.durable {
		// To compile a query takes longer than to run it on the small tables of a test.
		settings = append(settings, "fsync=off", "full_page_writes=off", "jit=off")
	}
	command := []string{filepath.Join(s.bin, "postgres"), "-D", s.data, "-k", s.dir}
	for _, setting := range settings {
		command = append(command, "-c", setting)
	}
	err := s.run("QUIT", remove, command...)
	if err != nil {
		return err
	}
	return s.ready()
}

// run starts a program that the signal ends as soon as s.life is closed, and that leaves no folder remove behind.
func (s *Server) run(signal, remove string, command ...string) error {
	s.process = s.command(context.Background(), "/bin/sh", append([]string{"-c", keeper, "sh"}, command...)...)
	s.process.Env = append(os.Environ(), "LOG="+filepath.Join(s.dir, "log"), "SIGNAL="+signal, "REMOVE="+remove)
	stdin, life, err := os.Pipe()
	if err != nil {
		return err
	}
	defer stdin.Close()
	s.process.Stdin, s.life = stdin, life
	if err := s.process.Start(); err != nil {
		return errors.Join(err, life.Close())
	}
	return nil
}

// ready waits for the server's answer.
func (s *Server) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(s.dir, "log")) //nolint:gosec // our own folder
			s.Stop()
			return fmt.Errorf("PostgreSQL does not come up: %w\n%s", err, log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Stop ends the server at once, as a crash would; Start brings it back.
func (s *Server) Stop() {
	if s.life != nil {
		_ = s.Thaw() // frozen processes end late
		_ = s.life.Close()
		_ = s.process.Wait()
		s.life = nil
	}
}

// PID is the process whose descendants are the server's, while it runs.
func (s *Server) PID() int { return s.process.Process.Pid }

// Freeze stops every process of the server from running, as a machine that hangs does; its connections stay open. Thaw ends that.
func (s *Server) Freeze() error { return s.signal(syscall.SIGSTOP) }

// Thaw lets the processes run again.
func (s *Server) Thaw() error { return s.signal(syscall.SIGCONT) }

// signal sends a signal to the server's processes, but not to the shell that keeps it. It begins with the one that starts the others, and
// looks again until it finds none that it has not seen.
func (s *Server) signal(sig syscall.Signal) error {
	seen := map[int]bool{}
	for found := true; found; {
		found = false
		processes, err := descendants(s.PID())
		if err != nil {
			return err
		}
		for _, p := range processes {
			if seen[p.pid] || p.name == "cat" {
				continue
			}
			seen[p.pid], found = true, true
			if err := syscall.Kill(p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
	}
	return nil
}

// Restart stops the server and starts it again.
func (s *Server) Restart() error {
	s.Stop()
	return s.Start()
}

// URL is the address of a database on the server.
func (s *Server) URL(name string) string {
	at := url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/" + name, RawQuery: url.Values{"host": {s.dir}}.Encode()}
	return at.String()
}

// NewDatabase creates an empty database, dropped when the test ends, and returns its address.
func (s *Server) NewDatabase(t testing.TB) string {
	t.Helper()
	return newDatabase(t, s.URL("postgres"))
}

// newDatabase creates a database next to the one at admin, an address whose role may do so.
func newDatabase(t testing.TB, admin string) string {
	t.Helper()
	name := createDatabase(t, admin, "")
	t.Cleanup(func() { dropDatabase(t, admin, name) })
	at, err := url.Parse(admin)
	require.NoError(t, err)
	at.Path = "/" + name
	return at.String()
}

// createDatabase creates a database; options belong to the statement.
func createDatabase(t testing.TB, admin, options string) (name string) {
	t.Helper()
	name = "test_" + strings.ToLower(randomName())
	run(t, admin, "CREATE DATABASE "+name+options)
	return name
}

func dropDatabase(t testing.TB, admin, name string) {
	t.Helper()
	run(t, admin, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
}

func run(t testing.TB, at, query string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, at)
	require.NoError(t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, query)
	require.NoError(t, err)
}
