package databasetest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// A frozen server keeps its connections and answers none of them, and new ones neither.
func TestFrozenServerAnswersAfterTheThaw(t *testing.T) {
	s := NewServer(t, false)
	conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.Background())) }()
	require.NoError(t, s.Freeze())
	answered := make(chan error, 1)
	go func() {
		_, err := conn.Exec(t.Context(), "SELECT 1")
		answered <- err
	}()
	brief, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = pgx.Connect(brief, s.URL("postgres"))
	require.Error(t, err, "a frozen server opens no connection")
	select {
	case err := <-answered:
		t.Fatalf("a frozen server has answered: %v", err)
	default:
	}
	require.NoError(t, s.Thaw())
	require.NoError(t, <-answered)
}

// A server that is frozen can still be stopped.
func TestFrozenServerStops(t *testing.T) {
	s := NewServer(t, false)
	require.NoError(t, s.Freeze())
	s.Stop()
	require.NoError(t, s.Start())
}

// startsPooler makes this test program a child that starts a PgBouncer and waits to be killed.
const startsPooler = "TRIVET_TEST_STARTS_POOLER"

func TestPoolerEndsWithAKilledTest(t *testing.T) {
	if os.Getenv(startsPooler) != "" {
		fmt.Println("\naddress", Pooler(t, os.Getenv(startsPooler), []string{"auth"}, "")("")) //nolint:forbidigo // the parent reads it
		time.Sleep(time.Minute)                                                                // until the parent kills it
		return
	}
	direct := PostgresURL(t)
	Pooler(t, direct, nil, "") // is skipped where PgBouncer is missing
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPoolerEndsWithAKilledTest$")
	child.Env = append(os.Environ(), startsPooler+"="+direct)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	lines, address := bufio.NewScanner(out), ""
	for address == "" && lines.Scan() {
		address, _ = strings.CutPrefix(lines.Text(), "address ")
		if address == lines.Text() {
			address = ""
		}
	}
	require.NotEmpty(t, address)
	answers := func() bool {
		conn, err := pgx.Connect(t.Context(), address)
		return err == nil && conn.Close(t.Context()) == nil
	}
	require.True(t, answers())
	require.NoError(t, child.Process.Signal(syscall.SIGKILL))
	_ = child.Wait() // it was killed
	require.Eventually(t, func() bool { return !answers() }, 30*time.Second, 10*time.Millisecond)
}

func TestParseStat(t *testing.T) {
	for line, want := range map[string]process{
		"12 (postgres) S 1 12 12 0":       {pid: 12, parent: 1, name: "postgres"},
		"13 (a) (b c) R 12 12 12 0":       {pid: 13, parent: 12, name: "a) (b c"},
		"4194304 (tmux: server) S 77 0 0": {pid: 4194304, parent: 77, name: "tmux: server"},
	} {
		got, err := parseStat(line)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, line := range []string{"", "12", "12 (postgres", "x (postgres) S 1 2", "12 (postgres) S x 2", "12 (postgres) S"} {
		_, err := parseStat(line)
		require.Error(t, err, line)
	}
}
