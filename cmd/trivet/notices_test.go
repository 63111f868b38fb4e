package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	failedNotice = `{"id":"ntc_2","accountId":"org_1","kind":"NOTICE_KIND_PAYMENT_FAILED","createTime":"2026-11-25T12:00:00Z","subscriptionId":"sub_1","invoiceId":"in_1","amountNanoUsd":"20000000000"}`
	endedNotice  = `{"id":"ntc_1","accountId":"org_1","kind":"NOTICE_KIND_TRIAL_WILL_END","createTime":"2026-11-24T12:00:00.5Z","time":"2026-11-27T12:00:00Z","planId":"pro","new":true}`
)

// twoPages is an edge with a notice on each of two pages.
func twoPages(t *testing.T) *scripted {
	t.Helper()
	return &scripted{t: t, answers: []string{`{"notices":[` + failedNotice + `],"nextPageToken":"page 2"}`, `{"notices":[` + endedNotice + `]}`}}
}

func TestNoticesOfAllPages(t *testing.T) {
	e := twoPages(t)
	out, err := e.trivet("", "billing", "notices", "org_1")
	require.NoError(t, err)
	require.Equal(t, `WRITTEN                   KIND            ABOUT                        ID
2026-11-25 12:00:00.000Z  payment_failed  sub_1 in_1 $20.000000000     ntc_2
2026-11-24 12:00:00.500Z  trial_will_end  pro at 2026-11-27T12:00:00Z  ntc_1
`, out)
	const first = "GET /api/v1/billing/notices?accountId=org_1&pageSize=500"
	require.Equal(t, []string{first, "GET /api/v1/billing/notices?accountId=org_1&pageSize=500&pageToken=page+2"}, e.asked)
}

func TestNoticesOfAKind(t *testing.T) {
	e := twoPages(t)
	_, err := e.trivet("", "billing", "notices", "org_1", "--kind", "payment_failed")
	require.NoError(t, err)
	require.Equal(t, []string{
		"GET /api/v1/billing/notices?accountId=org_1&kind=NOTICE_KIND_PAYMENT_FAILED&pageSize=500",
		"GET /api/v1/billing/notices?accountId=org_1&kind=NOTICE_KIND_PAYMENT_FAILED&pageSize=500&pageToken=page+2",
	}, e.asked)
	for _, kind := range []string{"odd", "unspecified"} {
		e = twoPages(t)
		_, err = e.trivet("", "billing", "notices", "org_1", "--kind", kind)
		require.ErrorContains(t, err, "which is not a kind of notice")
		require.Empty(t, e.asked)
	}
}

// As JSON, each notice is a line as the edge wrote it, with fields that this program does not know.
func TestNoticesAsJSON(t *testing.T) {
	out, err := twoPages(t).trivet("", "billing", "notices", "org_1", "--json")
	require.NoError(t, err)
	require.Equal(t, []string{failedNotice, endedNotice, ""}, strings.Split(out, "\n"))
}
