// Command breaking reads the findings of `buf breaking --error-format json` and fails on those that docs/decisions.md does
// not list as exceptions.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

const (
	begin = "<!-- breaking -->"
	end   = "<!-- /breaking -->"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: breaking DECISIONS.md < FINDINGS.json")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "breaking:", err)
		os.Exit(1)
	}
}

func run(decisions string, findings io.Reader, out io.Writer) error {
	document, err := os.ReadFile(decisions) //nolint:gosec // a file of the repository, named by the caller
	if err != nil {
		return err
	}
	exceptions, err := parseExceptions(string(document))
	if err != nil {
		return fmt.Errorf("%s: %w", decisions, err)
	}
	accepted, refused, err := check(exceptions, findings)
	if err != nil {
		return err
	}
	for _, f := range refused {
		_, _ = fmt.Fprintf(out, "%s: %s (%s)\n", f.Path, f.Message, f.Type)
	}
	if len(refused) > 0 {
		return fmt.Errorf("%d changes break callers; undo them, or list them as exceptions in %s", len(refused), decisions)
	}
	_, _ = fmt.Fprintf(out, "breaking: %d changes break callers, and all of them are listed as exceptions in %s\n", accepted, decisions)
	return nil
}

// finding is one line of buf's JSON.
type finding struct {
	Path    string `json:"path"`
	Type    string `json:"type"`
	Message string `json:"message"`
}

// exception is one element of the contract that may break some rules.
type exception struct {
	path    string
	element string
	rules   []string
}

// parseExceptions reads the table between the markers: | file | elements | rules | reason |, lists separated by commas.
func parseExceptions(document string) ([]exception, error) {
	_, rest, ok := strings.Cut(document, begin)
	table, _, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return nil, fmt.Errorf("the markers %s and %s are missing", begin, end)
	}
	var all []exception
	for i, line := range strings.Split(strings.TrimSpace(table), "\n") {
		if i < 2 {
			continue // the heading and the line below it
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 || strings.TrimSpace(cells[3]) == "" {
			return nil, fmt.Errorf("an exception needs a file, elements, rules and a reason: %s", line)
		}
		for _, element := range list(cells[1]) {
			all = append(all, exception{path: "proto/trivet/" + list(cells[0])[0], element: element, rules: list(cells[2])})
		}
	}
	return all, nil
}

func list(cell string) []string {
	parts := strings.Split(strings.ReplaceAll(cell, "`", ""), ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

var quoted = regexp.MustCompile(`"([^"]*)"`)

// covers reports whether e is the exception for f. The finding must be in the file, break a listed rule, and name each part
// of the element. So "Model.kind" covers a change of this field, and nothing else in Model.
func (e exception) covers(f finding) bool {
	if e.path != f.Path || !slices.Contains(e.rules, f.Type) {
		return false
	}
	var names []string
	for _, m := range quoted.FindAllStringSubmatch(f.Message, -1) {
		names = append(names, m[1])
	}
	for part := range strings.SplitSeq(e.element, ".") {
		if !slices.Contains(names, part) {
			return false
		}
	}
	return true
}

func check(exceptions []exception, findings io.Reader) (accepted int, refused []finding, err error) {
	lines := bufio.NewScanner(findings)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var f finding
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			return 0, nil, fmt.Errorf("read buf's findings: %w: %s", err, lines.Text())
		}
		if f.Path == "" || f.Type == "" {
			return 0, nil, errors.New("read buf's findings: no path or no type: " + lines.Text())
		}
		if slices.ContainsFunc(exceptions, func(e exception) bool { return e.covers(f) }) {
			accepted++
		} else {
			refused = append(refused, f)
		}
	}
	return accepted, refused, lines.Err()
}
