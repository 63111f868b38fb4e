package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What is invoiced, to be sent, refused and not charged is shown with its sum, and then each charge, from all pages.
func TestOverageShowsEachPartAndTheSum(t *testing.T) {
	e := &scripted{t: t, answers: []string{
		`{
		"overage": {"capNanoUsd": "50000000000", "usedNanoUsd": "1254321000", "headroomNanoUsd": "48745679000"},
		"totalNanoUsd": "3754321000", "invoicedNanoUsd": "2500000000", "unsentNanoUsd": "1000000000", "refusedNanoUsd": "250000000", "unchargedNanoUsd": "4321000",
		"periods": [{"startTime": "2026-11-01T00:00:00Z", "endTime": "2026-12-01T00:00:00Z", "amountNanoUsd": "1254321000"},
			{"startTime": "2026-10-01T00:00:00Z", "endTime": "2026-11-01T00:00:00Z", "amountNanoUsd": "2500000000"}],
		"charges": [{"id": "ovc_3", "amountNanoUsd": "1000000000", "state": "OVERAGE_CHARGE_STATE_NEW", "createTime": "2026-11-20T00:15:00Z"},
			{"id": "ovc_2", "amountNanoUsd": "250000000", "state": "OVERAGE_CHARGE_STATE_REFUSED", "createTime": "2026-11-10T00:15:00Z", "problem": "No such customer: 'cus_1'"}],
		"nextPageToken": "page 2"}`,
		`{"charges": [{"id": "ovc_1", "amountNanoUsd": "2500000000", "state": "OVERAGE_CHARGE_STATE_INVOICED", "invoiceId": "in_1", "createTime": "2026-11-01T00:15:00Z"}]}`,
	}}
	out, err := e.trivet("", "billing", "overage", "org_1")
	require.NoError(t, err)
	require.Equal(t, `This period: $1.254321000 of $50.000000000 used
invoiced                          $2.500000000
to be sent                        $1.000000000
refused by Stripe                 $0.250000000
not charged yet                   $0.004321000
total                             $3.754321000
  period from 2026-11-01T00:00:00Z        $1.254321000
  period from 2026-10-01T00:00:00Z        $2.500000000
  2026-11-20T00:15:00Z  ovc_3    $1.000000000  to be sent
  2026-11-10T00:15:00Z  ovc_2    $0.250000000  refused: No such customer: 'cus_1'
  2026-11-01T00:15:00Z  ovc_1    $2.500000000  on invoice in_1
`, out)
	require.Equal(t, []string{
		"GET /api/v1/billing/overage?accountId=org_1&pageSize=500&pageToken=",
		"GET /api/v1/billing/overage?accountId=org_1&pageSize=500&pageToken=page+2",
	}, e.asked)
}

// After a correction of what is on an invoice, the parts still add up to the sum.
func TestOverageThatIsChargedInAdvance(t *testing.T) {
	e := &scripted{t: t, answers: []string{`{"overage": {"capNanoUsd": "50000000000"}, "totalNanoUsd": "100000100", "invoicedNanoUsd": "250000000", "unchargedNanoUsd": "-149999900"}`}}
	out, err := e.trivet("", "billing", "overage", "org_1")
	require.NoError(t, err)
	require.Equal(t, `This period: $0.000000000 of $50.000000000 used
invoiced                          $0.250000000
to be sent                        $0.000000000
refused by Stripe                 $0.000000000
less in the next charges         -$0.149999900
total                             $0.100000100
`, out)
}

func TestOverageThatWasNeverAllowed(t *testing.T) {
	out, err := (&scripted{t: t, answers: []string{`{}`}}).trivet("", "billing", "overage", "org_1")
	require.NoError(t, err)
	require.Equal(t, "The account's plan never allowed overage.\n", out)
}
