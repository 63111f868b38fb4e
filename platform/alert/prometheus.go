package alert

import (
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// prometheusRule is a rule in Prometheus's file.
type prometheusRule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for,omitempty"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

type prometheusGroup struct {
	Name  string           `yaml:"name"`
	Rules []prometheusRule `yaml:"rules"`
}

var placeholder = regexp.MustCompile(`\{(\w+)\}`)

// Prometheus returns the rules as a file for Prometheus.
func Prometheus() (string, error) {
	group := prometheusGroup{Name: "trivet"}
	for _, r := range Rules() {
		rule := prometheusRule{
			Alert: r.Name, Expr: r.expression(), Labels: map[string]string{"severity": string(r.Severity)},
			Annotations: map[string]string{
				"summary": placeholder.ReplaceAllString(r.Summary, "{{ $$labels.$1 }}"), "playbook": r.Playbook(),
			},
		}
		if r.For > 0 {
			rule.For = span(r.For)
		}
		group.Rules = append(group.Rules, rule)
	}
	var b strings.Builder
	b.WriteString("# Written by `make docs` from platform/alert. deploy/prometheus/tests tests these rules.\n")
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(map[string]any{"groups": []prometheusGroup{group}}); err != nil {
		return "", fmt.Errorf("alert: %w", err)
	}
	return b.String(), nil
}
