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
	raw, path := l.getenv(f.name), l.getenv(f.name+fileSuffix)
	switch {
	case path == "":
		return raw, true
	case raw != "":
		l.report(f, "is set twice, also by "+f.name+fileSuffix, "keep one of the two")
		return "", false
	}
	raw, err := readValue(path)
	if err != nil {
		// The path is not printed for secrets: the secret itself may have been put there by mistake.
		what := "the file named by " + f.name + fileSuffix + " can't be read: " + cause(err)
		if !f.secret() {
			what += fmt.Sprintf(" (%q)", path)
		}
		l.report(f, what, "name a readable file that holds only the value")
		return "", false
	}
	return raw, true
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
