package alert

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Match selects series by a label. The value is a regular expression that must match the whole label.
type Match struct {
	Label string
	Value string
	// Not selects the series that do not match.
	Not bool
}

// Selector selects series of one metric.
type Selector struct {
	Metric string
	Match  []Match
}

// where returns the selector with one more match.
func (s Selector) where(label, value string) Selector {
	return Selector{s.Metric, append(s.Match[:len(s.Match):len(s.Match)], Match{Label: label, Value: value})}
}

// except returns the selector without the series whose label matches.
func (s Selector) except(label, value string) Selector {
	return Selector{s.Metric, append(s.Match[:len(s.Match):len(s.Match)], Match{Label: label, Value: value, Not: true})}
}

// promQL writes the selector in Prometheus's language.
func (s Selector) promQL() string {
	if len(s.Match) == 0 {
		return s.Metric
	}
	parts := make([]string, 0, len(s.Match))
	for _, m := range s.Match {
		operator := "="
		plain := regexp.QuoteMeta(m.Value) == m.Value
		switch {
		case m.Not && plain:
			operator = "!="
		case m.Not:
			operator = "!~"
		case !plain:
			operator = "=~"
		}
		parts = append(parts, m.Label+operator+strconv.Quote(m.Value))
	}
	return s.Metric + "{" + strings.Join(parts, ",") + "}"
}

// Signal is a number that is computed from series, for each combination of values of the labels By.
type Signal struct {
	// Part selects the series: gauges when Over is 0, counters otherwise.
	Part Selector
	// Whole, when set, is what the increase of Part is divided by.
	Whole Selector
	// Over is the window of the increase. Without one, the signal is the largest present value.
	Over time.Duration
	By   []string
}

// level is the largest value of gauges.
func level(s Selector, by ...string) Signal { return Signal{Part: s, By: by} }

// increase is what counters gained.
func increase(over time.Duration, s Selector, by ...string) Signal {
	return Signal{Part: s, Over: over, By: by}
}

// ratio divides what one set of counters gained by what another one gained.
func ratio(over time.Duration, part, whole Selector, by ...string) Signal {
	return Signal{Part: part, Whole: whole, Over: over, By: by}
}

// mean is the mean of what a histogram observed.
func mean(over time.Duration, histogram Selector, by ...string) Signal {
	return ratio(over, Selector{histogram.Metric + "_sum", histogram.Match}, Selector{histogram.Metric + "_count", histogram.Match}, by...)
}

// divided reports whether the signal is a ratio.
func (s Signal) divided() bool { return s.Whole.Metric != "" }

// selectors returns what the signal reads.
func (s Signal) selectors() []Selector {
	if s.divided() {
		return []Selector{s.Part, s.Whole}
	}
	return []Selector{s.Part}
}

// promQL writes the signal in Prometheus's language.
func (s Signal) promQL() string {
	by := ""
	if len(s.By) > 0 {
		by = " by (" + strings.Join(s.By, ", ") + ")"
	}
	if s.Over == 0 {
		return fmt.Sprintf("max%s (%s)", by, s.Part.promQL())
	}
	if s.divided() {
		gain := func(of Selector) string {
			return fmt.Sprintf("sum%s (increase(%s[%s]))", by, of.promQL(), span(s.Over))
		}
		return gain(s.Part) + " / " + gain(s.Whole)
	}
	return fmt.Sprintf("sum%s (%s)", by, s.gained())
}

// gained writes what each counter gained. Prometheus's increase ignores the first value of a new series, so that a rule which counts
// events would miss those that came before it first read them. A series that did not exist when the window began has gained its value.
func (s Signal) gained() string {
	of, window := s.Part.promQL(), span(s.Over)
	return fmt.Sprintf("(increase(%[1]s[%[2]s]) and %[1]s offset %[2]s) or (%[1]s unless %[1]s offset %[2]s)", of, window)
}

// span writes a duration in Prometheus's language.
func span(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	case d%time.Minute == 0:
		return strconv.FormatInt(int64(d/time.Minute), 10) + "m"
	default:
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
}
