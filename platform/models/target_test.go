package models_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/models"
)

// The ledger bills at the model's price, so a price of a target would have no effect.
func TestTargetsHaveNoPricesOfTheirOwn(t *testing.T) {
	file := func(route string) []byte {
		return []byte(`targets:
  other: {kind: compatible, base_url: "http://127.0.0.1:9"}
models:
  a: {kind: chat, provider: openai, context_tokens: 10, max_output_tokens: 5, default_output_tokens: 5, input: "1", cached_input: "0.5", output: "2", targets: [` + route + `]}
`)
	}
	list, err := models.Parse(file(`{target: other, model: b}`))
	require.NoError(t, err)
	m, err := list.Get("a")
	require.NoError(t, err)
	require.Len(t, m.Routes, 1)
	served := m.Routes[0].Model
	require.Equal(t, []int64{m.InputPrice, m.CachedInputPrice, m.OutputPrice}, []int64{served.InputPrice, served.CachedInputPrice, served.OutputPrice})
	for _, field := range []string{"input", "cached_input", "output"} {
		for _, price := range []string{"9", "1", "0"} {
			_, err := models.Parse(file(`{target: other, ` + field + `: "` + price + `"}`))
			require.ErrorContains(t, err, "model a: "+field+" cannot be set for a target")
			require.ErrorContains(t, err, "line 4")
		}
	}
}

const twoTargets = `targets:
  azure:
    kind: azure
    base_url: https://res.openai.azure.com/
    keys: [AZURE_KEY, AZURE_KEY_2]
    api_version: 2024-10-21
    connect_timeout: 2s
    first_byte_timeout: 30s
    idle_timeout: 1m
    max_concurrent: 7
  local: {kind: compatible, base_url: "http://127.0.0.1:8000/v1"}
models:
  a:
    {kind: chat, provider: openai, context_tokens: 10, max_output_tokens: 5, default_output_tokens: 5, input: "1", output: "2",
    targets: [{target: openai}, {target: azure, model: dep, priority: 2, weight: 3, ask_usage: false}, {target: local, output_bound: none, ends_without_done: true}]}
  b: {kind: embedding, provider: openai, context_tokens: 10, input: "1"}
`

func TestTargets(t *testing.T) {
	list, err := models.Parse([]byte(twoTargets))
	require.NoError(t, err)
	azure := list.Content().Targets()["azure"]
	require.Equal(t, "https://res.openai.azure.com/", azure.BaseURL.String())
	require.Equal(t, []string{"AZURE_KEY", "AZURE_KEY_2"}, azure.Keys)
	require.Equal(t, []time.Duration{2 * time.Second, 30 * time.Second, time.Minute}, []time.Duration{azure.ConnectTimeout, azure.FirstByteTimeout, azure.IdleTimeout})
	require.Equal(t, 7, azure.MaxConcurrent)
	require.Equal(t, "2024-10-21", azure.APIVersion)

	a, err := list.Get("a")
	require.NoError(t, err)
	var got []any
	for _, r := range a.Routes {
		got = append(got, r.Target, r.Name, r.Priority, r.Weight, r.Model.OutputBound, r.Model.HidesUsage, r.Model.EndsWithoutDone)
	}
	require.Equal(t, []any{
		"openai", "", 1, 1, models.BoundNew, false, false,
		"azure", "dep", 2, 3, models.BoundNew, true, false,
		"local", "", 1, 1, models.BoundNone, false, true,
	}, got)
	require.Equal(t, models.BoundNone, a.AtAnyTarget().OutputBound, "the hold must cover a target that cannot be told when to stop")
	a.Routes = a.Routes[:2]
	require.Equal(t, models.BoundNew, a.AtAnyTarget().OutputBound)
	a.OutputBound = models.BoundNone
	require.Equal(t, models.BoundNew, a.AtAnyTarget().OutputBound, "only targets serve")
	b, err := list.Get("b")
	require.NoError(t, err)
	require.Empty(t, b.Routes)
	require.Equal(t, b.OutputBound, b.AtAnyTarget().OutputBound)
}

func TestTargetsAreCompared(t *testing.T) {
	before, err := models.Parse([]byte(twoTargets))
	require.NoError(t, err)
	for change, same := range map[[2]string]bool{
		{"x", "x"}:                                             true,
		{"priority: 2", "priority: 3"}:                         true,
		{"azure.com", "azure.example"}:                         false,
		{"AZURE_KEY_2", "AZURE_KEY_3"}:                         false,
		{", AZURE_KEY_2", ""}:                                  false,
		{"2024-10-21", "2025-01-01"}:                           false,
		{"connect_timeout: 2s", "connect_timeout: 3s"}:         false,
		{"first_byte_timeout: 30s", "first_byte_timeout: 31s"}: false,
		{"idle_timeout: 1m", "idle_timeout: 2m"}:               false,
		{"max_concurrent: 7", "max_concurrent: 8"}:             false,
		{"max_concurrent: 7", "organization: org-x"}:           false,
		{"kind: azure\n", "kind: openai\n"}:                    false,
	} {
		file := strings.Replace(twoTargets, change[0], change[1], 1)
		if strings.Contains(change[1], "openai\n") {
			file = strings.Replace(file, "    api_version: 2024-10-21\n", "", 1)
		}
		after, err := models.Parse([]byte(file))
		require.NoError(t, err, change)
		require.Equal(t, same, before.Content().Targets()["azure"].Equal(after.Content().Targets()["azure"]), change)
	}
}

// Each mistake is named with its line, and a value that may be a secret is not repeated.
func TestMistakesOfTargets(t *testing.T) {
	_, err := models.Parse([]byte(`targets:
  openai: {kind: openai, base_url: "https://a", keys: [A_KEY]}
  Big: {kind: compatible, base_url: "http://a"}
  kind: {kind: other, base_url: "http://a"}
  user: {kind: compatible, base_url: "http://me:hunter2@a"}
  query: {kind: compatible, base_url: "http://a/?key=hunter2"}
  scheme: {kind: compatible, base_url: "ftp://a"}
  key: {kind: openai, base_url: "https://a", keys: [sk-hunter2]}
  nokey: {kind: azure, base_url: "https://a"}
  version: {kind: openai, base_url: "https://a", keys: [A_KEY], api_version: "2024-10-21"}
  timeout: {kind: compatible, base_url: "http://a", idle_timeout: 2h, connect_timeout: soon}
  many: {kind: compatible, base_url: "http://a", max_concurrent: 0}
models:
  a: {kind: chat, provider: x, context_tokens: 10, max_output_tokens: 5, default_output_tokens: 5, input: "1", output: "2", targets: [{target: none}, {target: many}, {target: many}]}
  b: {kind: chat, provider: x, context_tokens: 10, max_output_tokens: 5, default_output_tokens: 5, input: "1", output: "2", targets: [{target: many, priority: 0, weight: 1001, output_bound: all}]}
  c: {kind: embedding, provider: x, context_tokens: 10, input: "1", targets: [{target: many, ask_usage: true}]}
`))
	for _, want := range []string{
		"line 2: target openai: the name is taken", `line 3: target "Big": the name must`, `line 4: target kind: kind must be openai, azure or compatible, got "other"`,
		"line 5: target user: base_url must", "line 6: target query: base_url must", "line 7: target scheme: base_url must",
		"line 8: target key: keys must list names of settings", "line 9: target nokey: keys is missing", "line 10: target version: api_version belongs to the kind azure",
		`line 11: target timeout: idle_timeout must be a duration from 1ms to 1h, such as 30s, got "2h"`, `line 11: target timeout: connect_timeout`,
		"line 12: target many: max_concurrent must be at least 1", `line 14: model a: target "none" is not defined`, `line 14: model a: target "many" is listed twice`,
		"line 15: model b: priority must be from 1 to 100, got 0", "line 15: model b: weight must be from 1 to 1000, got 1001", "line 15: model b: output_bound must",
		"line 16: model c: the model is not streamed and has no output",
	} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "hunter2")
	_, err = models.Parse([]byte("models: {a: {targets: [{tagret: x}]}}"))
	require.ErrorContains(t, err, "tagret")
}
