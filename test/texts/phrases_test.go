package texts_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// banned lists phrases that readers stumble over, with the plain wording. CONTRIBUTING.md explains the style.
var banned = []struct{ pattern, instead string }{
	{`mend(s|ed|ing)?\b`, "fix"},
	{`(go|goes|going|went) on\b`, "continue"},
	{`whom\b`, "name the person"},
	{`(is|are|was|were|be) none\b`, "is invalid, is missing, is not a …"},
	{`(is|are|was|were|be) no\b`, "is not a …"},
	{`be (somebody|nobody)\b`, "send a credential"},
	{`so far as\b`, "as far as, if"},
	{`what became of\b`, "the result of"},
	{`of (its|their|his|her) own accord\b`, "by itself"},
	{`whose (it|he|she) is\b`, "the owner"},
	{`(stands?|stood) (already|twice)\b`, "already exists, is repeated"},
	{`(is|are|was|were|be) (not )?well\b`, "healthy"},
	{`(has|have|had) not([.,;:)]|$)`, "does not have"},
	{`(thereof|thereby|whereof|hitherto|whosoever)\b`, "a plain word"},
	{`(without a word|in vain|for ever)\b`, "say what happens"},
	{`(is|was|were|are) begun\b`, "has started"},
	{`told of\b`, "is notified of"},
	{`however (many|much)\b`, "any number of"},
	{`(is|are|be|was|were) looked at\b`, "is checked, is read"},
	{`of (Clerk|Stripe|OpenAI|Trivet)'s([.,;:)]|$)`, "no double genitive: a webhook from Clerk"},
}

func TestNoBannedPhrases(t *testing.T) {
	patterns := make([]*regexp.Regexp, len(banned))
	for i, b := range banned {
		patterns[i] = regexp.MustCompile(`(?i)\b(?:` + b.pattern + `)`)
	}
	for _, p := range everything(t) {
		text := idioms.ReplaceAllString(p.text, "…")
		for i, pattern := range patterns {
			if found := pattern.FindString(text); found != "" {
				t.Errorf("%s:%d (%s): %q; write: %s\n\t%s", p.file, p.line, p.kind, found, banned[i].instead, p.text)
			}
		}
	}
}

// idioms are correct, although a pattern matches them: "there is no hold", "it is no longer held".
var idioms = regexp.MustCompile(`(?i)there (is|are|was|were|will be|can be) (no\b|none\b)|(is|are|was|were|be) no (longer|more than)\b`)

func everything(t *testing.T) []passage {
	t.Helper()
	var all []passage
	for _, path := range files(t, ".go") {
		all = append(all, goPassages(t, path)...)
	}
	for _, path := range files(t, ".proto") {
		all = append(all, linePassages(t, path, "//", comment)...)
	}
	for _, path := range files(t, ".sql") {
		all = append(all, linePassages(t, path, "--", comment)...)
	}
	for _, path := range files(t, ".md", ".html", "Makefile", ".yml", ".yaml", ".ts", ".mjs", "Dockerfile", ".example") {
		all = append(all, linePassages(t, path, "", document)...)
	}
	require.Greater(t, len(all), 10_000, "the passages of the whole repository")
	return all
}
