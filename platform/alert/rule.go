// Package alert declares the conditions that an operator must know of. The rules for Prometheus are generated from the declarations.
// Without Prometheus, every process evaluates them over its own metrics, logs each change of state once, and sends it to
// TRIVET_ALERT_URL and TRIVET_ALERT_WEBHOOK_URL. Of the rules about what replicas share, one replica tells.
package alert

import (
	"strconv"
	"strings"
	"time"
)

// Severity says how soon somebody must act.
type Severity string

// The severities.
const (
	// Page is for what users notice now.
	Page Severity = "page"
	// Ticket is for what must be fixed during working hours.
	Ticket Severity = "ticket"
)

// Condition holds while a signal is above a limit.
type Condition struct {
	Signal Signal
	Above  float64
}

// Rule is an alert.
type Rule struct {
	// Name is the alert's name, and that of its page in docs/playbooks.
	Name     string
	Severity Severity
	// When lists the conditions that must all hold for For. Their signals have the same labels.
	When []Condition
	For  time.Duration
	// Summary says in one sentence what is wrong. "{label}" stands for the value of a label.
	Summary string
	// Shared marks a rule about what all replicas of a service share, such as rows of their database. Each sees the same, and one tells of it.
	Shared bool
	// PromQL is the condition of a rule that only Prometheus can evaluate.
	PromQL string
}

// Playbook is the page that says what to do.
func (r Rule) Playbook() string { return "docs/playbooks/" + r.Name + ".md" }

// Threshold is the limit of the rule's first condition.
func (r Rule) Threshold() float64 {
	if len(r.When) == 0 {
		return 0
	}
	return r.When[0].Above
}

// By returns the labels that tell the rule's alerts apart.
func (r Rule) By() []string {
	if len(r.When) == 0 {
		return nil
	}
	return r.When[0].Signal.By
}

// expression writes the rule's condition in Prometheus's language.
func (r Rule) expression() string {
	if r.PromQL != "" {
		return r.PromQL
	}
	parts := make([]string, 0, len(r.When))
	for _, c := range r.When {
		parts = append(parts, c.promQL())
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return "(" + strings.Join(parts, ") and (") + ")"
}

func (c Condition) promQL() string {
	return c.Signal.promQL() + " > " + strconv.FormatFloat(c.Above, 'g', -1, 64)
}

// above makes a rule's only condition.
func above(limit float64, s Signal) []Condition { return []Condition{{s, limit}} }
