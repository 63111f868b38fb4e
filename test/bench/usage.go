package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is what /proc tells of a process's CPU.
type usage struct {
	parent    int
	own, past time.Duration // past is that of children that have ended
}

// usageOf reads the processor time that a process has used, user and system.
func usageOf(pid int) (u usage, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) //nolint:gosec // a number
	if err != nil {
		return u, err
	}
	_, after, ok := strings.Cut(string(data), ") ")
	fields := strings.Fields(after)
	if !ok || len(fields) < 15 {
		return u, fmt.Errorf("/proc/%d/stat has another form than expected", pid)
	}
	number := func(i int) int64 {
		n, e := strconv.ParseInt(fields[i], 10, 64)
		if e != nil {
			err = e
		}
		return n
	}
	const tick = time.Second / 100 // Linux shows user space hundredths of a second
	u.parent = int(number(1))
	u.own = time.Duration(number(11)+number(12)) * tick
	u.past = time.Duration(number(13)+number(14)) * tick
	return u, err
}

// cpuOf returns the processor time that a process has used.
func cpuOf(pid int) (time.Duration, error) {
	u, err := usageOf(pid)
	return u.own, err
}

// transfersOf returns how many system calls that read or write a process has made.
func transfersOf(pid int) (n int64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		name, count, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if name != "syscr" && name != "syscw" {
			continue
		}
		calls, err := strconv.ParseInt(count, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/io has another form than expected: %w", pid, err)
		}
		n += calls
	}
	return n, nil
}

// familyCPU returns the processor time that a process and its descendants have used.
func familyCPU(pid int) (time.Duration, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	all := map[int]usage{}
	for _, dir := range dirs {
		id, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			return 0, err
		}
		if u, err := usageOf(id); err == nil { // else it has ended
			all[id] = u
		}
	}
	var total time.Duration
	for id, u := range all {
		for at := id; at > 1; at = all[at].parent {
			if at == pid {
				total += u.own + u.past
				break
			}
		}
	}
	return total, nil
}

// peakOf returns the most memory that a process has had resident, in bytes.
func peakOf(pid int) (int64, error) { return memoryOf(pid, "VmHWM:") }

// memoryOf returns a line of /proc/PID/status that counts memory, in bytes.
func memoryOf(pid int, name string) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no %s", pid, strings.TrimSuffix(name, ":"))
}
