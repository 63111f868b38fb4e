package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// showIntakes prints a column for each database.
func showIntakes(w io.Writer, o webhookOptions, columns []intake) error {
	fmt.Fprintf(w, "%d cores, Go %s; %d webhooks a second offered for %s, each at its time; %.0f %% about %d Clerk users (bodies of %.1f kB), the rest about %d Stripe customers (%.1f kB)\n",
		runtime.NumCPU(), runtime.Version(), o.rate, o.duration, o.clerkShare*100, o.users, float64(len(userUpdated))/1000, o.customers, float64(len(customerUpdated))/1000)
	fmt.Fprintln(w, "measured is the process of all-in-one Trivet; the generator, the sandbox that Stripe's objects are fetched from, and PostgreSQL are others, on the same machine")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range intakeRows() {
		fmt.Fprintf(table, "%s\t", row.name)
		for i := range columns {
			fmt.Fprintf(table, "%s\t", row.show(&columns[i]))
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}

type intakeRow struct {
	name string
	show func(m *intake) string
}

func intakeRows() []intakeRow {
	count := func(n int) string { return fmt.Sprint(n) }
	took := func(p float64) func(m *intake) string {
		return func(m *intake) string { return millis(quantile(m.sorted, p)) }
	}
	perEvent := func(d time.Duration, m *intake) string { return micros(d / time.Duration(max(1, m.acknowledged))) }
	return []intakeRow{
		{"", func(m *intake) string {
			return map[string]string{"sqlite": "SQLite, synchronous=FULL", "postgres": "PostgreSQL, fsync=on"}[m.database]
		}},
		{"offered", func(m *intake) string { return count(len(m.answers)) }},
		{"acknowledged (200)", func(m *intake) string { return count(m.acknowledged) }},
		{"other answers", func(m *intake) string { return m.others() }},
		{"acknowledged/s", func(m *intake) string { return fmt.Sprintf("%.0f", float64(m.acknowledged)/m.span().Seconds()) }},
		{"acknowledgement p50", took(0.5)},
		{"p90", took(0.9)},
		{"p99", took(0.99)},
		{"max", took(1)},
		{"generator late, p99", func(m *intake) string { return millis(quantile(m.lateness(), 0.99)) }},
		{"durable commits/s", func(m *intake) string { return perSecond(m.commits(), m) }},
		{"of auth's store", func(m *intake) string { return perSecond(m.commits(`service="auth"`), m) }},
		{"of billing's store", func(m *intake) string { return perSecond(m.commits(`service="billing"`), m) }},
		{"events/commit", func(m *intake) string { return ratio(float64(m.acknowledged), m.commits()) }},
		{"writes/commit", func(m *intake) string {
			return ratio(m.offered.since(m.before.reading, "trivet_database_batch_size_sum"), m.commits())
		}},
		{"mean commit", func(m *intake) string {
			return meanMillis(&m.offered, m, "trivet_database_commit_duration_seconds")
		}},
		{"mean transaction", func(m *intake) string {
			return meanMillis(&m.offered, m, "trivet_database_batch_duration_seconds")
		}},
		{"CPU while offered", func(m *intake) string {
			return fmt.Sprintf("%.2f cores", (m.offered.cpu-m.before.cpu).Seconds()/m.span().Seconds())
		}},
		{"CPU/event, with its effect", func(m *intake) string { return perEvent(m.drained.cpu-m.before.cpu, m) }},
		{"the database server's", func(m *intake) string {
			if m.drained.server == 0 {
				return "–"
			}
			return perEvent(m.drained.server-m.before.server, m)
		}},
		{"waiting at the last answer", func(m *intake) string { n, _ := m.offered.waiting(); return fmt.Sprintf("%.0f", n) }},
		{"drained after", func(m *intake) string {
			if m.waiting > 0 {
				return fmt.Sprintf("not; %.0f wait", m.waiting)
			}
			return fmt.Sprintf("%.1f s", m.drain.Seconds())
		}},
		{"events applied", func(m *intake) string { return fmt.Sprintf("%.0f", m.applied()) }},
		{"mean delay to the effect, clerk", delay("clerk")},
		{"stripe", delay("stripe")},
		{"Stripe's events", func(m *intake) string { return count(m.ofStripe()) }},
		{"fetches from Stripe", func(m *intake) string { return fmt.Sprint(m.fetches) }},
		{"dead events", func(m *intake) string { return fmt.Sprintf("%.0f", m.dead()) }},
		{"peak memory", func(m *intake) string { return fmt.Sprintf("%d MiB", m.memory>>20) }},
	}
}

// span is the time from the first webhook to the last answer.
func (m *intake) span() time.Duration { return m.ended.Sub(m.begun) }

// commits counts what was committed while webhooks were offered, the workers' commits too: each is one wait for the disk.
func (m *intake) commits(labels ...string) float64 {
	return m.offered.since(m.before.reading, "trivet_database_commit_duration_seconds_count", labels...)
}

func (m *intake) lateness() []time.Duration {
	late := make([]time.Duration, 0, len(m.answers))
	for _, a := range m.answers {
		late = append(late, a.late)
	}
	slices.Sort(late)
	return late
}

func (m *intake) ofStripe() (n int) {
	for _, a := range m.answers {
		if !a.clerk {
			n++
		}
	}
	return n
}

// delay is the mean time from an event's arrival to its effect.
func delay(source string) func(m *intake) string {
	label := fmt.Sprintf("source=%q", source)
	return func(m *intake) string {
		return meanMillis(&m.drained, m, "trivet_inbox_delay_seconds", label)
	}
}

// meanMillis is the mean of what a histogram of seconds gathered until then.
func meanMillis(until *moment, m *intake, name string, labels ...string) string {
	n := until.since(m.before.reading, name+"_count", labels...)
	if n == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f ms", 1000*until.since(m.before.reading, name+"_sum", labels...)/n)
}

// quantile takes from sorted durations; of none it is 0.
func quantile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

func ratio(a, b float64) string {
	if b == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f", a/b)
}

func perSecond(n float64, m *intake) string { return fmt.Sprintf("%.0f", n/m.span().Seconds()) }

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }
