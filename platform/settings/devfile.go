package settings

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/joho/godotenv"

	"github.com/trivet-dev/trivet/platform/smallfile"
)

// WithFile returns an Env that asks the environment first and then the file at path (KEY=VALUE lines, # comments, quotes; a
// value with a $ needs single quotes, or the $ names another variable). A missing file is an empty one. Development only.
func (e Env) WithFile(path string) (Env, error) {
	raw, err := smallfile.Read(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err != nil {
		return e, fmt.Errorf("read the settings file: %w", err)
	}
	values, err := godotenv.UnmarshalBytes(raw)
	if err != nil {
		// The parser's own message quotes the file's text, which holds secrets.
		return e, fmt.Errorf("settings file %s: %s is not KEY=VALUE; fix the line or put a # before it", path, badLine(raw))
	}
	e.Get = Layer(e.Get, func(name string) string { return values[name] })
	e.File, e.FileNames = path, slices.Sorted(maps.Keys(values))
	return e, nil
}

// Layer returns a lookup that asks top first and below for what top lacks. NAME and NAME_FILE are one setting here: when
// top has one of them, below's other one is hidden.
func Layer(top, below func(string) string) func(string) string {
	return func(name string) string {
		if v := top(name); v != "" {
			return v
		}
		twin, isFile := strings.CutSuffix(name, fileSuffix)
		if !isFile {
			twin = name + fileSuffix
		}
		if top(twin) != "" {
			return ""
		}
		return below(name)
	}
}

var assignment = regexp.MustCompile(`^\s*(#.*|(export\s+)?[A-Za-z_][A-Za-z0-9_.]*\s*[=:].*)?$`)

// badLine names the first line that doesn't look like an assignment, without quoting it.
func badLine(raw []byte) string {
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for n := 1; lines.Scan(); n++ {
		if !assignment.Match(lines.Bytes()) {
			return fmt.Sprintf("line %d", n)
		}
	}
	return "a line (perhaps a quote without its end)"
}
