package alert

import (
	"regexp"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// separator stands between the label values of a group.
const separator = "\x00"

// families are the metrics of a process by name.
type families map[string]*dto.MetricFamily

// filter is a selector with its expressions compiled.
type filter struct {
	family string
	match  []compiled
	by     []string
}

type compiled struct {
	label string
	value *regexp.Regexp
	not   bool
}

func newFilter(s Selector, by []string) filter {
	f := filter{family: s.Metric, by: by}
	for _, m := range s.Match {
		f.match = append(f.match, compiled{m.Label, regexp.MustCompile("^(?:" + m.Value + ")$"), m.Not})
	}
	return f
}

// read calls found with the group and the value of each series that is selected.
func (f filter) read(all families, found func(group string, value float64)) {
	family, suffix := all[f.family], ""
	for _, s := range []string{"_sum", "_count"} {
		if name, ok := strings.CutSuffix(f.family, s); ok && family == nil {
			family, suffix = all[name], s
		}
	}
	for _, m := range family.GetMetric() {
		if f.selects(m) {
			found(f.group(m), value(m, suffix))
		}
	}
}

func (f filter) selects(m *dto.Metric) bool {
	for _, c := range f.match {
		if c.value.MatchString(label(m, c.label)) == c.not {
			return false
		}
	}
	return true
}

func (f filter) group(m *dto.Metric) string {
	values := make([]string, len(f.by))
	for i, name := range f.by {
		values[i] = label(m, name)
	}
	return strings.Join(values, separator)
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

func value(m *dto.Metric, suffix string) float64 {
	switch {
	case suffix == "_sum":
		return m.GetHistogram().GetSampleSum()
	case suffix == "_count":
		return float64(m.GetHistogram().GetSampleCount())
	case m.GetCounter() != nil:
		return m.GetCounter().GetValue()
	case m.GetGauge() != nil:
		return m.GetGauge().GetValue()
	default:
		return m.GetUntyped().GetValue()
	}
}
