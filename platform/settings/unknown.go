package settings

import (
	_ "embed"
	"regexp"
	"slices"
	"strings"
)

// names lists every setting of every program; `make docs` writes it from the code.
//
//go:embed names.txt
var names string

// Known lists the settings of every program of Trivet, aliases included.
func Known() []string { return strings.Fields(names) }

// ours marks the variables that can only be meant for Trivet.
const ours = "TRIVET_"

// others are names that people know from elsewhere, and the settings that they mean.
var others = map[string]string{
	"OPENAI_API_BASE": "OPENAI_BASE_URL", "OPENAI_URL": "OPENAI_BASE_URL", "OPENAI_ORGANIZATION": "OPENAI_ORG_ID",
	"STRIPE_API_KEY": "STRIPE_SECRET_KEY", "STRIPE_KEY": "STRIPE_SECRET_KEY", "CLERK_API_KEY": "CLERK_SECRET_KEY",
	"CORS_ORIGINS": "CORS_ALLOWED_ORIGINS", "CORS_ORIGIN": "CORS_ALLOWED_ORIGINS", "TRIVET_DATABASE_URL": "DATABASE_URL",
	"TRIVET_ADDR": "TRIVET_HTTP_ADDR", "TRIVET_PORT": "TRIVET_HTTP_ADDR",
}

// common are names that shells and people use for other things. README's tour keeps a session token in TOKEN.
var common = []string{"ENV", "TOKEN"}

// orchestrated are the variables that Kubernetes and Docker add for a service that is called trivet.
var orchestrated = regexp.MustCompile(`_(SERVICE_(HOST|PORT.*)|PORT|PORT_[0-9]+_(TCP|UDP).*)$`)

// Unknown finds, among the names of set variables, those that look like settings of Trivet but are not: every unknown
// TRIVET_… name, and every name that is nearly a setting's. Each Problem suggests the setting that was probably meant. The names also are
// settings, too.
func Unknown(set []string, also ...string) []Problem {
	known := append(Known(), also...)
	var found []Problem
	for _, name := range slices.Sorted(slices.Values(set)) {
		if isKnown(known, name) || slices.Contains(common, name) {
			continue
		}
		meant := nearest(known, name)
		switch {
		case meant != "":
			found = append(found, Problem{Name: name, What: "is not a setting", Fix: "did you mean " + meant + "?"})
		case strings.HasPrefix(name, ours) && !orchestrated.MatchString(name):
			found = append(found, Problem{Name: name, What: "is not a setting", Fix: "docs/settings.md lists them all"})
		}
	}
	return found
}

// Strangers are the names that are neither settings nor nearly settings.
func Strangers(set []string, also ...string) []string {
	known, suspects := append(Known(), also...), Unknown(set, also...)
	return slices.DeleteFunc(slices.Sorted(slices.Values(set)), func(name string) bool {
		return isKnown(known, name) || slices.ContainsFunc(suspects, func(p Problem) bool { return p.Name == name })
	})
}

func isKnown(known []string, name string) bool {
	base, _ := strings.CutSuffix(name, fileSuffix)
	return slices.Contains(known, name) || slices.Contains(known, base)
}

// nearest returns the setting that a name was probably meant to be, or "".
func nearest(known []string, name string) string {
	upper := strings.ToUpper(name)
	base, isFile := strings.CutSuffix(upper, fileSuffix)
	if meant := closest(known, upper); meant != "" {
		return meant
	}
	if meant := closest(known, base); isFile && meant != "" {
		return meant + fileSuffix
	}
	return ""
}

func closest(known []string, name string) string {
	if meant, ok := others[name]; ok {
		return meant
	}
	if bare, ok := strings.CutPrefix(name, ours); ok && slices.Contains(known, bare) {
		return bare
	}
	if slices.Contains(known, ours+name) {
		return ours + name
	}
	plain := strings.ReplaceAll(name, "_", "")
	best, least := "", allowed(plain)+1
	for _, k := range known {
		if d := distance(plain, strings.ReplaceAll(k, "_", ""), least); d < least {
			best, least = k, d
		}
	}
	return best
}

// allowed is how many letters of a name may be wrong: a short one is soon another word.
func allowed(plain string) int {
	const short, long = 8, 12
	switch {
	case len(plain) >= long:
		return 2
	case len(plain) >= short:
		return 1
	}
	return 0
}

// distance counts the letters to insert, remove, replace or swap with their neighbor to make b of a; limit or more is limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return min(rows[len(a)][len(b)], limit)
}
