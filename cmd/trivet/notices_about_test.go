package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What a notice is about depends on its kind: a threshold names the member or the API key, a top-up the problem, and seats the members.
func TestAboutANotice(t *testing.T) {
	for about, fields := range map[string]string{
		"ann 80% of $1.000000000 at 2026-12-01T00:00:00Z": `"kind":"NOTICE_KIND_LIMIT_THRESHOLD","thresholdPercent":80,"amountNanoUsd":"1000000000","usedNanoUsd":"900000000","userId":"ann","time":"2026-12-01T00:00:00Z"`,
		"topup_1 $20.000000000 Your card was declined.":   `"kind":"NOTICE_KIND_TOP_UP_FAILED","objectId":"topup_1","amountNanoUsd":"20000000000","problem":"Your card was declined."`,
		"pro sub_1 12 members, 10 seats":                  `"kind":"NOTICE_KIND_SEATS_EXCEEDED","planId":"pro","subscriptionId":"sub_1","seats":10,"members":12`,
	} {
		e := &scripted{t: t, answers: []string{`{"notices":[{"id":"ntc_1","accountId":"org_1","createTime":"2026-11-25T12:00:00Z",` + fields + `}]}`}}
		out, err := e.trivet("", "billing", "notices", "org_1")
		require.NoError(t, err)
		require.Contains(t, out, "  "+about+"  ntc_1")
	}
}
