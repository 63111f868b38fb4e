package settings

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// fileSuffix marks the variable that names a file holding a setting's value.
const fileSuffix = "_FILE"

// maxFile bounds a settings file (bytes), so that a wrong path such as a device can't fill memory.
const maxFile = 1 << 20

// lookup finds the raw value of f; ok is false when a mistake was reported.
func (l *loader) lookup(f field) (raw string, ok bool) {
	name, path, twice := l.given(f)
	switch {
	case twice != "":
		l.report(f, "is set twice, also by "+twice, "keep one of the two")
		return "", false
	case path == "":
		return l.getenv(name), true
	}
	raw, err := readValue(path)
	if err != nil {
		// The path is not printed for secrets: the secret itself may have been put there by mistake.
		what := "the file named by " + name + fileSuffix + " cannot be read: " + cause(err)
		if !f.secret() {
			what += fmt.Sprintf(" (%q)", path)
		}
		l.report(f, what, "name a readable file that holds only the value")
		return "", false
	}
	return raw, true
}

// given returns the name that f is set under, and the path when a file holds the value; twice is a second name that sets it.
func (l *loader) given(f field) (name, path, twice string) {
	name = f.name
	var set []string
	for _, base := range f.names() {
		for _, variable := range []string{base, base + fileSuffix} {
			value := l.getenv(variable)
			if value == "" {
				continue
			}
			name, set = base, append(set, variable)
			if variable != base {
				path = value
			}
		}
	}
	if len(set) > 1 {
		return f.name, "", set[1]
	}
	return name, path, ""
}

// readValue reads a file without its last line break.
func readValue(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	switch {
	case err != nil:
		return "", err
	case len(raw) > maxFile:
		return "", errors.New("it is larger than 1 MiB")
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
	if value == "" {
		return "", errors.New("it is empty")
	}
	return value, nil
}

// cause is err's text without the path that os adds.
func cause(err error) string {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err.Error()
	}
	return err.Error()
}
