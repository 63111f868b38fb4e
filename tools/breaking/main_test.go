package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const decisions = `# Decisions

<!-- breaking -->
| file | elements | rules | reason |
|---|---|---|---|
| ` + "`ai/v1/ai.proto`" + ` | ` + "`Model.kind`, `Model.context_tokens`" + ` | FIELD_SAME_TYPE | a closed set |
| ai/v1/ai.proto | Old | MESSAGE_NO_DELETE | replaced by New |
<!-- /breaking -->
`

func TestOnlyListedChangesPass(t *testing.T) {
	const kind = `{"path":"proto/trivet/ai/v1/ai.proto","type":"FIELD_SAME_TYPE","message":"Field \"2\" with name \"kind\" on message \"Model\" changed type from \"string\" to \"enum\"."}`
	cases := map[string]struct {
		findings string
		pass     bool
	}{
		"nothing found":          {"", true},
		"listed":                 {kind, true},
		"second element":         {strings.ReplaceAll(kind, "kind", "context_tokens"), true},
		"another field":          {strings.ReplaceAll(kind, "kind", "provider"), false},
		"another message":        {strings.ReplaceAll(kind, "Model", "Tool"), false},
		"another file":           {strings.ReplaceAll(kind, "ai/v1", "auth/v1"), false},
		"another rule":           {strings.ReplaceAll(kind, "FIELD_SAME_TYPE", "FIELD_NO_DELETE"), false},
		"one of two":             {kind + "\n" + strings.ReplaceAll(kind, "kind", "provider"), false},
		"deleted message":        {`{"path":"proto/trivet/ai/v1/ai.proto","type":"MESSAGE_NO_DELETE","message":"Previously present message \"Old\" was deleted from file."}`, true},
		"deleted unlisted":       {`{"path":"proto/trivet/ai/v1/ai.proto","type":"MESSAGE_NO_DELETE","message":"Previously present message \"Model\" was deleted from file."}`, false},
		"not a finding":          {`{}`, false},
		"an error instead of it": {`Failure: could not read the base`, false},
	}
	file := filepath.Join(t.TempDir(), "decisions.md")
	if err := os.WriteFile(file, []byte(decisions), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			err := run(file, strings.NewReader(tc.findings), &out)
			if (err == nil) != tc.pass {
				t.Fatalf("err = %v, want pass = %t; output: %s", err, tc.pass, out.String())
			}
		})
	}
}

func TestBadTablesAreRefused(t *testing.T) {
	for name, document := range map[string]string{
		"no markers":  "# Decisions",
		"not closed":  begin + "\n| a | b | c | d |\n",
		"no reason":   begin + "\n| h | h | h | h |\n|---|---|---|---|\n| f | E | R |  |\n" + end,
		"three cells": begin + "\n| h | h | h | h |\n|---|---|---|---|\n| f | E | R |\n" + end,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseExceptions(document); err == nil {
				t.Fatal("no error")
			}
		})
	}
}
