package settings

import (
	"errors"
	"fmt"
	"strings"
)

// Problem is one mistake in the settings. It never holds a secret's value.
type Problem struct {
	Name string // the setting, such as "CLERK_ISSUER"; "" when the mistake is about no single one
	What string // what is wrong
	Fix  string // what to do; may be ""
}

// Error returns "NAME: what; fix".
func (p Problem) Error() string {
	var b strings.Builder
	if p.Name != "" {
		b.WriteString(p.Name + ": ")
	}
	b.WriteString(p.What)
	if p.Fix != "" {
		b.WriteString("; " + p.Fix)
	}
	return b.String()
}

// Invalid makes a Problem, for Validate methods.
func Invalid(name, what, fix string) error { return Problem{Name: name, What: what, Fix: fix} }

// Error is every mistake found, one line each.
type Error struct{ Problems []Problem }

// Error lists all problems.
func (e *Error) Error() string {
	var b strings.Builder
	if n := len(e.Problems); n == 1 {
		b.WriteString("1 setting is wrong:")
	} else {
		fmt.Fprintf(&b, "%d settings are wrong:", n)
	}
	for _, p := range e.Problems {
		b.WriteString("\n  " + p.Error())
	}
	return b.String()
}

// Unwrap lets errors.As find each Problem.
func (e *Error) Unwrap() []error {
	out := make([]error, len(e.Problems))
	for i, p := range e.Problems {
		out[i] = p
	}
	return out
}

// Join makes one error of the results of several Loads, each mistake named once, as settings shared by services would
// be reported by each of them. It returns nil when all are nil.
func Join(errs ...error) error {
	var all []Problem
	seen := map[Problem]bool{}
	for _, p := range problems(errors.Join(errs...)) {
		if !seen[p] {
			seen[p] = true
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return &Error{Problems: all}
}

// problems flattens err; an error that is not a Problem becomes one without a name.
func problems(err error) []Problem {
	switch e := err.(type) { //nolint:errorlint // walks the tree itself, level by level
	case nil:
		return nil
	case Problem:
		return []Problem{e}
	case interface{ Unwrap() []error }:
		var out []Problem
		for _, one := range e.Unwrap() {
			out = append(out, problems(one)...)
		}
		return out
	default:
		return []Problem{{What: err.Error()}}
	}
}
