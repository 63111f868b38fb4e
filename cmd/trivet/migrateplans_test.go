package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	plannedMigration = `{"changes":[{"kind":"PLAN_CHANGE_KIND_UPDATE","id":"plan:pro","field":"price","before":"20.00","after":"25.00"}],"subscriptionCount":3}`
	dryMigration     = `{"from":"pro@3","to":"pro@4","atRenewal":false,"dryRun":true,"pageToken":""}`
	plannedText      = "~ plan:pro price: 20.00 → 25.00\n3 subscriptions change from pro@3 to pro@4 at once\n"
)

// Nothing changes unless the operator says yes: the only request is the dry run.
func TestPlansMigrateAsks(t *testing.T) {
	for _, answer := range []string{"n\n", "", "\n", "no\n", "yes please\n"} {
		e := &scripted{t: t, answers: []string{plannedMigration, `{}`}}
		out, err := e.trivet(answer, "plans", "migrate", "pro@3", "pro@4")
		require.EqualError(t, err, "nothing was changed; give --yes to apply without a question", "%q", answer)
		require.Equal(t, plannedText+"Change these subscriptions? [y/N] ", out)
		e.requireBodies(dryMigration)
	}
	e := &scripted{t: t, answers: []string{plannedMigration, `{"migrations":[{"accountId":"org_1","subscriptionId":"sub_1","result":"PLAN_MIGRATION_RESULT_MOVED"}]}`}}
	out, err := e.trivet("y\n", "plans", "migrate", "pro@3", "pro@4")
	require.NoError(t, err)
	require.Equal(t, plannedText+"Change these subscriptions? [y/N] 1 moved, 0 scheduled, 0 unchanged, 0 skipped\n", out)
	e.requireBodies(dryMigration, `{"from":"pro@3","to":"pro@4","atRenewal":false,"dryRun":false,"pageToken":""}`)
}

// All pages are asked for, with the tokens of those before them, and what was skipped is printed.
func TestPlansMigrateFollowsPages(t *testing.T) {
	e := &scripted{t: t, answers: []string{
		plannedMigration,
		`{"migrations":[{"accountId":"org_1","subscriptionId":"sub_1","result":"PLAN_MIGRATION_RESULT_SCHEDULED"},
			{"accountId":"user_2","subscriptionId":"sub_2","result":"PLAN_MIGRATION_RESULT_SKIPPED","reason":"a change to free@1 is scheduled"}],
			"nextPageToken":"page 2"}`,
		`{"migrations":[{"accountId":"org_3","subscriptionId":"sub_3","result":"PLAN_MIGRATION_RESULT_UNCHANGED"}]}`,
	}}
	out, err := e.trivet("", "plans", "migrate", "pro@3", "pro@4", "--at-renewal", "--yes")
	require.NoError(t, err)
	require.Equal(t, "~ plan:pro price: 20.00 → 25.00\n3 subscriptions change from pro@3 to pro@4 with their next period\n"+
		"user_2 sub_2: a change to free@1 is scheduled\n0 moved, 1 scheduled, 1 unchanged, 1 skipped\n", out)
	e.requireBodies(
		`{"from":"pro@3","to":"pro@4","atRenewal":true,"dryRun":true,"pageToken":""}`,
		`{"from":"pro@3","to":"pro@4","atRenewal":true,"dryRun":false,"pageToken":""}`,
		`{"from":"pro@3","to":"pro@4","atRenewal":true,"dryRun":false,"pageToken":"page 2"}`,
	)
	for _, asked := range e.asked {
		require.Equal(t, "POST /api/v1/billing/plans:migrate", asked)
	}
}

func TestPlansMigrateEndsEarly(t *testing.T) {
	e := &scripted{t: t, answers: []string{`{"subscriptionCount":0}`}}
	out, err := e.trivet("", "plans", "migrate", "pro@3", "pro@4", "--yes")
	require.NoError(t, err)
	require.Equal(t, "0 subscriptions change from pro@3 to pro@4 at once\n", out)
	e.requireBodies(dryMigration)

	e = &scripted{t: t, answers: []string{plannedMigration}} // the next answer is 503
	_, err = e.trivet("", "plans", "migrate", "pro@3", "pro@4", "--yes")
	require.ErrorContains(t, err, "Stripe does not answer.")
	require.ErrorContains(t, err, "Run the command again")
	require.Len(t, e.bodies, 2)
}
