package docgen

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	gridColumns, panelHeight = 24, 8
	panelsInARow             = 3
)

// source is the dashboard's data source, which the variable of the dashboard chooses.
var source = map[string]string{"type": "prometheus", "uid": "${source}"}

// Dashboard returns Grafana's dashboard.
func Dashboard() (string, error) {
	charts := make([]any, 0, len(panels))
	for i, p := range panels {
		charts = append(charts, chart(i, p))
	}
	raw, err := json.MarshalIndent(map[string]any{
		"title": "Trivet", "uid": "trivet", "tags": []string{"trivet"}, "schemaVersion": 39, "version": 1, "refresh": "30s",
		"time": map[string]string{"from": "now-3h", "to": "now"}, "timezone": "browser", "panels": charts,
		"description": "Written by `make docs` from internal/docgen/panels.go.",
		"templating": map[string]any{"list": []any{
			map[string]any{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
			variable("integration", "trivet_integration_state"), variable("instance", "trivet_rpc_duration_seconds_count"),
		}},
	}, "", "  ")
	if err != nil {
		return "", err
	}
	return string(raw) + "\n", nil
}

// variable is a choice of the values of a metric's label.
func variable(label, metric string) map[string]any {
	return map[string]any{
		"name": label, "label": label, "type": "query", "datasource": source, "query": fmt.Sprintf("label_values(%s, %s)", metric, label),
		"includeAll": true, "multi": true, "allValue": ".*", "refresh": 2, "current": map[string]any{"text": "All", "value": "$__all"},
	}
}

func chart(i int, p panel) map[string]any {
	targets := make([]any, 0, len(p.queries))
	for n, q := range p.queries {
		targets = append(targets, map[string]any{"refId": string(rune('A' + n)), "expr": q.expr, "legendFormat": q.legend, "datasource": source})
	}
	const width = gridColumns / panelsInARow
	return map[string]any{
		"id": i + 1, "title": p.title, "type": "timeseries", "datasource": source, "targets": targets,
		"gridPos":     map[string]int{"x": i % panelsInARow * width, "y": i / panelsInARow * panelHeight, "w": width, "h": panelHeight},
		"fieldConfig": map[string]any{"defaults": map[string]any{"unit": p.unit, "min": 0}, "overrides": []any{}},
	}
}

// filled gives the dashboard's variables their defaults.
var filled = strings.NewReplacer("$__rate_interval", "5m", "$integration", ".*", "$instance", ".*")

// Queries returns the dashboard's queries as recording rules, which promtool can check.
func Queries() (string, error) {
	var rules []map[string]string
	for i, p := range panels {
		for n, q := range p.queries {
			rules = append(rules, map[string]string{"record": fmt.Sprintf("dashboard:panel%d_%c", i+1, 'a'+n), "expr": filled.Replace(q.expr)})
		}
	}
	var b strings.Builder
	b.WriteString("# Written by `make docs`: the queries of trivet.json with its variables filled in, so that promtool can check them.\n")
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	err := encoder.Encode(map[string]any{"groups": []map[string]any{{"name": "dashboard", "rules": rules}}})
	return b.String(), err
}
