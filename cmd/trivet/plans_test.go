package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const goodPlans = `plans:
  - {id: free, name: Free, price: "0.00", included_credit: "5.00"}
  - {id: pro, name: Pro, price: "20.00", included_credit: "25.00"}
`

// planFile writes a plan file and returns its path.
func planFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plans.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// offline runs a command that reaches no server.
func offline(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out strings.Builder
	err := run(t.Context(), args, program{env: noSettings(), stdin: strings.NewReader(""), stdout: &out, stderr: io.Discard})
	return out.String(), err
}

func TestPlansValidate(t *testing.T) {
	file := planFile(t, goodPlans)
	out, err := offline(t, "plans", "validate", file)
	require.NoError(t, err)
	require.Equal(t, file+": no mistakes\n", out)

	bad := planFile(t, `plans:
  - {id: free, name: Free, price: "0.00", included_credit: "5.00"}
  - {id: pro, nmae: Pro, price: "20.005", included_credit: "25.00"}
  - {id: team, name: Team, price: "10.00", included_credit: "1.00", models: [gpt-99]}
packs:
  - {id: free_money, name: Free, price: "0", credit: "0"}
`)
	out, err = offline(t, "plans", "validate", bad)
	require.Empty(t, out)
	for _, says := range []string{bad + " has mistakes:\n", "line 3: plan pro: nmae is unknown; did you mean name?", "line 3: plan pro: price", "line 4: plan team: models", "line 6: pack free_money: price"} {
		require.ErrorContains(t, err, says)
	}
	for line := range strings.Lines(strings.TrimPrefix(err.Error(), bad+" has mistakes:\n")) {
		require.Regexp(t, `^line \d+: `, line, "each mistake has its line")
	}
	_, err = offline(t, "plans", "validate", filepath.Join(t.TempDir(), "none.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

const plannedApply = `{"changes":[{"kind":"PLAN_CHANGE_KIND_CREATE","id":"plan:team"},
	{"kind":"PLAN_CHANGE_KIND_UPDATE","id":"plan:pro","field":"price","before":"20.00","after":"25.00"},
	{"kind":"PLAN_CHANGE_KIND_UPDATE","id":"plan:pro","field":"yearly_price","before":"200.00"},
	{"kind":"PLAN_CHANGE_KIND_ARCHIVE","id":"pack:credit_20"}]}`

const plannedApplyText = "+ plan:team\n~ plan:pro price: 20.00 → 25.00\n~ plan:pro yearly_price: 200.00 → (none)\n- pack:credit_20\n"

// applyBody is the request of an apply.
func applyBody(t *testing.T, dry bool) string {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"planFile": base64.StdEncoding.EncodeToString([]byte(goodPlans)), "dryRun": dry})
	require.NoError(t, err)
	return string(raw)
}

// Nothing changes unless the operator says yes: the only request is the dry run.
func TestPlansApplyAsks(t *testing.T) {
	const question = "Apply these changes to Stripe? [y/N] "
	for _, answer := range []string{"n\n", "", "\n", "no\n", "yes please\n"} {
		e := &scripted{t: t, answers: []string{plannedApply, plannedApply}}
		out, err := e.trivet(answer, "plans", "apply", planFile(t, goodPlans))
		require.EqualError(t, err, "nothing was changed; give --yes to apply without a question", "%q", answer)
		require.Equal(t, plannedApplyText+question, out)
		e.requireBodies(applyBody(t, true))
	}
	for _, answer := range []string{"y\n", "YES\n", " yes"} {
		e := &scripted{t: t, answers: []string{plannedApply, plannedApply}}
		out, err := e.trivet(answer, "plans", "apply", planFile(t, goodPlans))
		require.NoError(t, err, "%q", answer)
		require.Equal(t, plannedApplyText+question+"4 changes applied\n", out)
		e.requireBodies(applyBody(t, true), applyBody(t, false))
	}
	e := &scripted{t: t, answers: []string{plannedApply, plannedApply}}
	out, err := e.trivet("", "plans", "apply", planFile(t, goodPlans), "--yes")
	require.NoError(t, err)
	require.Equal(t, plannedApplyText+"4 changes applied\n", out)
	e.requireBodies(applyBody(t, true), applyBody(t, false))
	require.Equal(t, []string{"POST /api/v1/billing/plans:apply", "POST /api/v1/billing/plans:apply"}, e.asked)
}

// A second apply finds nothing to change, so it asks nothing. It completes what an interrupted run has left.
func TestASecondApplyChangesNothing(t *testing.T) {
	e := &scripted{t: t, answers: []string{`{}`, `{}`}}
	out, err := e.trivet("", "plans", "apply", planFile(t, goodPlans))
	require.NoError(t, err)
	require.Equal(t, "0 changes applied\n", out)
	e.requireBodies(applyBody(t, true), applyBody(t, false))
}

// A refusal shows what the server says, with the lines of the mistakes, and nothing is applied.
func TestPlansApplyIsRefused(t *testing.T) {
	e := &scripted{t: t} // the answer is 503
	out, err := e.trivet("", "plans", "apply", planFile(t, goodPlans), "--yes")
	require.ErrorContains(t, err, "Stripe does not answer.")
	require.Empty(t, out)
	e.requireBodies(applyBody(t, true))

	e = &scripted{t: t, answers: []string{`{"changes":[{"kind":"PLAN_CHANGE_KIND_CREATE","id":"plan:pro"}]}`}}
	out, err = e.trivet("", "plans", "apply", planFile(t, goodPlans), "--yes")
	require.ErrorContains(t, err, "Stripe does not answer.", "between the plan and the apply")
	require.Equal(t, "+ plan:pro\n", out)

	e = &scripted{t: t, answers: []string{"<html>"}}
	_, err = e.trivet("", "plans", "apply", planFile(t, goodPlans), "--yes")
	require.ErrorContains(t, err, "is not a Trivet server")

	e = &scripted{t: t}
	_, err = e.trivet("", "plans", "apply", filepath.Join(t.TempDir(), "none.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Empty(t, e.asked)
}

// All versions are listed, page by page, with their prices.
func TestPlansVersions(t *testing.T) {
	const first = `{"planVersions":[{"id":"plan:free@1","current":true},{"id":"plan:pro@1","stripePriceIds":["price_1","price_2"]}],"nextPageToken":"a b"}`
	const last = `{"planVersions":[{"id":"plan:pro@2","current":true,"stripePriceIds":["price_3"]}]}`
	e := &scripted{t: t, answers: []string{first, last}}
	out, err := e.trivet("", "plans", "versions")
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	require.Len(t, lines, 3)
	for i, want := range [][]string{{"plan:free@1", "on", "sale"}, {"plan:pro@1", "past", "price_1", "price_2"}, {"plan:pro@2", "on", "sale", "price_3"}} {
		require.Equal(t, want, strings.Fields(lines[i]))
	}
	require.Equal(t, []string{"GET /api/v1/billing/planVersions?pageToken=", "GET /api/v1/billing/planVersions?pageToken=a+b"}, e.asked)

	e = &scripted{t: t, answers: []string{first, last}}
	out, err = e.trivet("", "plans", "versions", "--json")
	require.NoError(t, err)
	pages := json.NewDecoder(strings.NewReader(out))
	for _, want := range []string{first, last} {
		var page json.RawMessage
		require.NoError(t, pages.Decode(&page))
		require.JSONEq(t, want, string(page))
	}
	require.ErrorIs(t, pages.Decode(new(any)), io.EOF)

	e = &scripted{t: t}
	_, err = e.trivet("", "plans", "versions")
	require.ErrorContains(t, err, "Stripe does not answer.")
}

// A closed output ends a command: what was not printed is not applied.
func TestPlansApplyThatCannotPrint(t *testing.T) {
	e := &scripted{t: t, answers: []string{plannedApply, plannedApply}}
	err := e.trivetTo(closedOutput{}, "plans", "apply", planFile(t, goodPlans), "--yes")
	require.ErrorIs(t, err, errClosed)
	e.requireBodies(applyBody(t, true))
}

var errClosed = errors.New("the output is closed")

type closedOutput struct{}

func (closedOutput) Write([]byte) (int, error) { return 0, errClosed }

// Files that editors, shells and people leave behind. No server is asked.
func TestPlansValidateOddFiles(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a byte order mark": {"\ufeff" + goodPlans, ""},
		"an empty file":     {"", `not a list of plans: the file must be a mapping with "plans"`},
		"a tab":             {"plans:\n\t- {id: a}\n", "line 2 begins with a tab: indent with spaces"},
		"two documents":     {goodPlans + "---\nplans: []\n", "the file must end before this second document"},
	} {
		t.Run(name, func(t *testing.T) {
			file := planFile(t, c.text)
			out, err := offline(t, "plans", "validate", file)
			if c.want == "" {
				require.NoError(t, err)
				require.Equal(t, file+": no mistakes\n", out)
				return
			}
			require.Empty(t, out)
			require.ErrorContains(t, err, file+" has mistakes:\n")
			require.ErrorContains(t, err, c.want)
		})
	}
	for _, args := range [][]string{{"plans", "validate"}, {"plans", "validate", "a.yaml", "b.yaml"}, {"plans", "migrate", "pro@1"}, {"plans", "versions", "pro"}, {"billing", "overage"}, {"billing", "overage", "a", "b"}, {"billing", "refund", "a"}} {
		_, err := offline(t, args...)
		require.Error(t, err, args)
	}
	_, err := offline(t, "plans", "validate", t.TempDir())
	require.ErrorContains(t, err, "is a directory")
	_, err = offline(t, "plans", "validate", planFile(t, strings.Repeat("#", 1<<20+1)))
	require.ErrorContains(t, err, "plans.yaml is larger than 1048576 bytes")
}
