package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// reading is what a program's /metrics said: values by name and labels, as they are written there.
type reading map[string]float64

func read(ctx context.Context, ops string) (reading, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, ops+"/metrics", http.NoBody) //nolint:gosec // our own program
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request) //nolint:gosec // as above
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("/metrics answered %d", response.StatusCode)
	}
	r := reading{}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		at := strings.LastIndexByte(lines.Text(), ' ')
		if at < 0 || strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		value, err := strconv.ParseFloat(lines.Text()[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("/metrics has a line without a number: %q", lines.Text())
		}
		r[lines.Text()[:at]] = value
	}
	return r, lines.Err()
}

// sum adds up the values with a name and all of the labels, such as `state="dead"`; known is false if none exist.
func (r reading) sum(name string, labels ...string) (total float64, known bool) {
series:
	for key, value := range r {
		if rest, ok := strings.CutPrefix(key, name); !ok || rest != "" && rest[0] != '{' {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(key, l) {
				continue series
			}
		}
		total, known = total+value, true
	}
	return total, known
}

// since is the growth of a counter.
func (r reading) since(before reading, name string, labels ...string) float64 {
	now, _ := r.sum(name, labels...)
	then, _ := before.sum(name, labels...)
	return now - then
}

// waiting counts the events that are neither done nor dead; known is false while the database does not tell of both sources.
func (r reading) waiting() (n float64, known bool) {
	known = true
	for _, state := range []string{`state="pending"`, `state="leased"`} {
		for _, source := range []string{`source="clerk"`, `source="stripe"`} {
			events, told := r.sum("trivet_inbox_events", state, source)
			n, known = n+events, known && told
		}
	}
	return n, known
}
