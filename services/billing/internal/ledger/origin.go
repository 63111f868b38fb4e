package ledger

import (
	"strings"

	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// Origin is where credit came from.
type Origin string

// The origins.
const (
	// OriginNone is that of entries that are not about one grant.
	OriginNone         Origin = ""
	OriginPlan         Origin = "plan"
	OriginSubscription Origin = "subscription"
	OriginTrial        Origin = "trial"
	OriginPack         Origin = "pack"
	OriginTopUp        Origin = "top_up"
	OriginOperator     Origin = "operator"
	// OriginReturned is that of credit that came back: a reversal was undone, or a call became cheaper after its grant was gone.
	OriginReturned Origin = "returned"
)

// Origin is where the credit came from that an entry is about. The text that an operator has written is not for the account to read.
func (e Entry) Origin() Origin {
	source := e.GrantSource
	for _, c := range []struct {
		is     bool
		origin Origin
	}{
		{source == "", OriginNone},
		{strings.HasPrefix(source, sourceReturn) || strings.HasPrefix(source, sourceRefund), OriginReturned},
		{strings.HasPrefix(source, sourcePlan), OriginPlan},
		{strings.HasPrefix(source, subscriptions.PackPrefix), OriginPack},
		{strings.HasPrefix(source, subscriptions.TopUpPrefix), OriginTopUp},
		{!strings.HasPrefix(source, subscriptions.SourcePrefix), OriginOperator},
		{strings.Contains(source, ":"+sourceReturn), OriginReturned},
		{strings.HasSuffix(source, ":trial"), OriginTrial},
	} {
		if c.is {
			return c.origin
		}
	}
	return OriginSubscription
}
