package databasetest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// process is a running process, as /proc shows it.
type process struct {
	pid, parent int
	name        string
}

// descendants lists the processes that a process started, and those that they started, parents first.
func descendants(pid int) ([]process, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var all []process
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue // the process has ended
		}
		p, err := parseStat(string(raw))
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	family := []process{{pid: pid}}
	for i := 0; i < len(family); i++ {
		for _, p := range all {
			if p.parent == family[i].pid {
				family = append(family, p)
			}
		}
	}
	return slices.Clip(family[1:]), nil
}

// parseStat reads a line such as "12 (postgres) S 1 …"; a name may have spaces and brackets.
func parseStat(line string) (p process, err error) {
	before, rest, _ := strings.Cut(line, " (")
	end := strings.LastIndex(rest, ") ")
	fields := strings.Fields(rest[max(end, 0):])
	if end < 0 || len(fields) < 3 {
		return p, fmt.Errorf("a line of /proc/PID/stat has another form than expected: %q", line)
	}
	p.name = rest[:end]
	if p.pid, err = strconv.Atoi(before); err != nil {
		return p, err
	}
	p.parent, err = strconv.Atoi(fields[2])
	return p, err
}
