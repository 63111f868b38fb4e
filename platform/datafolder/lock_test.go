package datafolder_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/datafolder"
)

// childFolder makes the test's program a process that owns that folder until its standard input ends.
const childFolder = "DATAFOLDER_TEST_CHILD"

func TestMain(m *testing.M) {
	if folder := os.Getenv(childFolder); folder != "" {
		_, err := datafolder.Acquire(folder)
		fmt.Println(err) //nolint:forbidigo // how the child answers
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child starts another process that acquires the folder and returns the error that it got, its process id and how to end it.
func child(t *testing.T, folder string) (answer string, pid int, kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childFolder+"="+folder)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	ended := false
	kill = func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = in.Close()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(kill)
	answer, err = bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(answer), cmd.Process.Pid, kill
}

func TestASecondProcessIsRefusedAndTheOwnerNamed(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	answer, pid, kill := child(t, folder)
	require.Equal(t, "<nil>", answer)

	_, err := datafolder.Acquire(folder)
	var owned *datafolder.OwnedError
	require.ErrorAs(t, err, &owned)
	require.Equal(t, pid, owned.PID)
	require.ErrorContains(t, err, fmt.Sprintf("process %d", pid))
	require.ErrorContains(t, err, folder)
	require.ErrorContains(t, err, "TRIVET_DATA_DIR")

	kill() // as kill -9 does
	release, err := datafolder.Acquire(folder)
	require.NoError(t, err, "a lock dies with its process")
	answer, _, _ = child(t, folder)
	require.Contains(t, answer, fmt.Sprintf("process %d", os.Getpid()))
	require.NoError(t, release())
	answer, _, _ = child(t, folder)
	require.Equal(t, "<nil>", answer)
}

func TestThePartsOfOneProcessShareTheFolder(t *testing.T) {
	folder := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(folder, link))
	first, err := datafolder.Acquire(folder)
	require.NoError(t, err)
	second, err := datafolder.Acquire(link + "/.")
	require.NoError(t, err, "another name of the same folder")
	require.NoError(t, first())
	require.NoError(t, first(), "releasing twice counts once")
	answer, _, _ := child(t, folder)
	require.Contains(t, answer, "in use", "the second part still uses it")
	require.NoError(t, second())
	answer, _, _ = child(t, link)
	require.Equal(t, "<nil>", answer)
}

func TestErrorsNameTheSetting(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := datafolder.Acquire(filepath.Join(file, "data"))
	require.ErrorContains(t, err, "TRIVET_DATA_DIR")
	require.ErrorContains(t, err, file)
	if os.Getuid() == 0 {
		return // permissions do not stop root
	}
	folder := t.TempDir()
	require.NoError(t, os.Chmod(folder, 0o500))
	_, err = datafolder.Acquire(folder)
	require.ErrorContains(t, err, "TRIVET_DATA_DIR")
}

func TestAnUnreadableOwnerIsNotNamed(t *testing.T) {
	folder := t.TempDir()
	_, _, _ = child(t, folder)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "trivet.lock"), []byte("-x"), 0o600))
	_, err := datafolder.Acquire(folder)
	require.ErrorContains(t, err, "in use by another process")
}
