package ledger_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

func TestOriginsOfCredit(t *testing.T) {
	for source, want := range map[string]ledger.Origin{
		"":                                  ledger.OriginNone,
		"plan:free:2026-11-01":              ledger.OriginPlan,
		"sub:sub_1:1795600000":              ledger.OriginSubscription,
		"sub:sub_1:1795600000:advance":      ledger.OriginSubscription,
		"sub:sub_1:1795600000:up:price_2":   ledger.OriginSubscription,
		"sub:sub_1:trial":                   ledger.OriginTrial,
		"sub:sub_1:1795600000:return:re_1":  ledger.OriginReturned,
		"sub:sub_1:trial:return:dp_1#2":     ledger.OriginReturned,
		"pack:cs_1":                         ledger.OriginPack,
		"topup:in_1":                        ledger.OriginTopUp,
		"return:dp_1":                       ledger.OriginReturned,
		"refund:hold_1":                     ledger.OriginReturned,
		"ticket 7":                          ledger.OriginOperator,
		"sub":                               ledger.OriginOperator,
		"sorry for the trouble, :return: x": ledger.OriginOperator,
	} {
		require.Equal(t, want, ledger.Entry{GrantSource: source}.Origin(), source)
	}
}
