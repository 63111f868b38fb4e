package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// programs are those that a run starts, each in a process of its own, so that its CPU is its own.
type programs struct {
	dir     string // where they run; empty is here
	env     []string
	log     io.Writer
	running []*exec.Cmd
}

func (p *programs) launch(env []string, name string, args ...string) (pid int, err error) {
	cmd := exec.Command(name, args...) //nolint:gosec // programs that this one names
	cmd.Dir, cmd.Env, cmd.Stderr, cmd.Stdout = p.dir, slices.Concat(p.env, env), p.log, p.log
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w", name, err)
	}
	p.running = append(p.running, cmd)
	return cmd.Process.Pid, nil
}

// once runs a program and waits for its end.
func (p *programs) once(ctx context.Context, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // programs that this one names
	cmd.Dir, cmd.Env, cmd.Stderr, cmd.Stdout = p.dir, slices.Concat(p.env, env), p.log, p.log
	return cmd.Run()
}

// patience is the time that a program has to stop.
const patience = 40 * time.Second

// stop ends them, the last started first.
func (p *programs) stop() {
	for _, cmd := range slices.Backward(p.running) {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		kill.Stop()
	}
	p.running = nil
}

func freePorts(ctx context.Context, n int) ([]string, error) {
	var addresses []string
	for range n {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

func ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not become healthy in time: %w", url, errors.Join(err, ctx.Err()))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// takeProfile writes a profile of the program whose ops address is given, of the next d. The kind is "profile", which is that
// of the CPU, or "allocs".
func takeProfile(ctx context.Context, ops, kind string, d time.Duration, path string) error {
	url := fmt.Sprintf("%s/debug/pprof/%s?seconds=%d", ops, kind, max(1, int(d.Seconds())))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody) //nolint:gosec // our own program
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request) //nolint:gosec // as above
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600) //nolint:gosec // where the caller wants it
}
