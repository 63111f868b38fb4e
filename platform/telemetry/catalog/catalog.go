// Package catalog declares every metric that Trivet exports. docs/metrics.md is generated from it, alert rules and dashboards may
// use nothing else, and a test compares it with the exporter of a running Trivet. Add a metric here when the code exports a new one.
package catalog

import "slices"

// Kind is the type of a metric in Prometheus's format.
type Kind string

// The kinds.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Label is a dimension of a metric.
type Label struct {
	// Name is the label's name.
	Name string
	// Values lists all values; nil when Source says where they come from.
	Values []string
	// Source says what bounds the values when they are not listed.
	Source string
}

// Metric is a declared metric.
type Metric struct {
	// Name is the name in Prometheus's format, without the suffixes of a histogram's series.
	Name string
	// Kind is its type.
	Kind Kind
	// Unit is what one counts, such as "seconds" or "events".
	Unit string
	// Process is the service that exports it: "auth", "ai", "billing", "edge", or "every" process.
	Process string
	// Labels are its dimensions.
	Labels []Label
	// Help is the exporter's description.
	Help string
	// Shared says that every process counts the same rows of a database: use max, not sum.
	Shared bool
	// Rare says what must happen before the metric appears; empty when it appears with ordinary traffic.
	Rare string
}

// Find returns the metric to which a series belongs, such as a histogram's "…_bucket"; false for an unknown name.
func Find(series string) (Metric, bool) {
	all := All()
	i := slices.IndexFunc(all, func(m Metric) bool { return slices.Contains(m.Series(), series) })
	if i < 0 {
		return Metric{}, false
	}
	return all[i], true
}

// Series returns the names of the metric's series.
func (m Metric) Series() []string {
	if m.Kind == Histogram {
		return []string{m.Name + "_bucket", m.Name + "_sum", m.Name + "_count"}
	}
	return []string{m.Name}
}

// LabelNames returns the names of the labels, that of a histogram's buckets included.
func (m Metric) LabelNames() []string {
	names := make([]string, 0, len(m.Labels)+1)
	for _, l := range m.Labels {
		names = append(names, l.Name)
	}
	if m.Kind == Histogram {
		names = append(names, "le")
	}
	return names
}
