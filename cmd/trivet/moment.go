package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// moment is a flag that takes a time or an age.
type moment struct {
	time.Time
	text string
}

// String returns the text of the flag.
func (m *moment) String() string { return m.text }

// Type names the kind of value in the help.
func (*moment) Type() string { return "time" }

// Set reads "24h", "7d", "2026-11-25" or "2026-11-25T18:00:00Z".
func (m *moment) Set(text string) error {
	at, err := parseMoment(text, time.Now())
	if err != nil {
		return err
	}
	m.Time, m.text = at, text
	return nil
}

func parseMoment(text string, now time.Time) (time.Time, error) {
	ago, err := time.ParseDuration(text)
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		var n int
		if n, err = strconv.Atoi(days); n > maxDays {
			err = strconv.ErrRange
		}
		ago = time.Duration(n) * 24 * time.Hour
	}
	if err == nil {
		if ago <= 0 {
			return time.Time{}, fmt.Errorf("%q is not before now", text)
		}
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			if at.After(now) {
				return time.Time{}, fmt.Errorf("%q is in the future", text)
			}
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither a duration such as 24h or 7d nor a time such as 2026-11-25 or 2026-11-25T18:00:00Z", text)
}

// maxDays keeps a duration within 64 bits.
const maxDays = 36500
