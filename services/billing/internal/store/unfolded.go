package store

import (
	"cmp"
	"context"
	"fmt"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// A closed call waits in unfolded_call until it is folded: one narrow row with its record, which becomes part of a segment.

// calls adds the records of the holds that this batch closes to the values of a statement.
func (u *unit) calls(rows []any) []any {
	for _, h := range u.closes {
		charged, overage := h.Cost, h.Overage
		if h.fold != foldAll {
			charged, overage = 0, 0
		}
		r := closedRecord(h.Hold)
		r.UserID = "" // it has a column of its own, for an erasure
		rows = append(rows, h.AccountID, microsOrZero(h.SettleTime), h.ID, u.nameable(h.UserID), h.fold, charged,
			encodeSegment([]ledger.UsageRecord{r}), overage)
	}
	return rows
}

// closedRecord is the record of a call whose hold is closed.
func closedRecord(h ledger.Hold) ledger.UsageRecord {
	return ledger.UsageRecord{
		HoldID: h.ID, RequestID: h.RequestID, AccountID: h.AccountID, UserID: h.UserID, APIKeyID: h.APIKeyID, Model: h.Model,
		Usage: h.Used, Cost: h.Cost, Outcome: h.Outcome, Estimated: h.Estimated, ProviderRequestID: h.ProviderRequestID, CallLog: h.CallLog,
		SettleTime: toTime(cmp.Or(microsOrZero(h.UsageTime), microsOrZero(h.SettleTime))),
	}
}

// decodeCall reads the record of a call that waits.
func decodeCall(accountID, holdID string, raw []byte) (ledger.UsageRecord, error) {
	records, err := decodeSegment(accountID, holdID, raw)
	if err != nil {
		return ledger.UsageRecord{}, err
	}
	if len(records) != 1 {
		return ledger.UsageRecord{}, fmt.Errorf("the record of hold %s: %w", holdID, errSegment)
	}
	return records[0], nil
}

// addCall adds a call that waits.
func (p *foldPage) addCall(accountID string, call db.ListUnfoldedCallsRow) error {
	r, err := decodeCall(accountID, call.HoldID, call.Record)
	if err != nil {
		return err
	}
	r.UserID = p.u.nameable(call.UserID)
	p.charged += call.Charged
	p.overage += call.Overage
	p.last = max(p.last, call.CloseTime)
	p.addUsage(r, r.SettleTime, true)
	return nil
}

// forgetCalls deletes the calls that were folded. The account is locked, so that no other call can have come between them. A hold whose
// charge may still be corrected learns its segment.
func (p *foldPage) forgetCalls(ctx context.Context, accountID string, calls []db.ListUnfoldedCallsRow) error {
	if len(calls) == 0 {
		return nil
	}
	last := calls[len(calls)-1]
	n, err := p.u.q.DeleteUnfoldedCalls(ctx, db.DeleteUnfoldedCallsParams{AccountID: accountID, CloseTime: last.CloseTime, HoldID: last.HoldID})
	if err != nil {
		return err
	}
	if n != int64(len(calls)) {
		return fmt.Errorf("account %s: %d calls were folded, but %d are deleted", accountID, len(calls), n)
	}
	var corrigible []db.Hold
	for _, call := range calls {
		if call.Fold == foldUsage {
			corrigible = append(corrigible, db.Hold{ID: call.HoldID})
		}
	}
	return p.markFolded(ctx, corrigible, p.segment)
}

// forgetCall deletes a hold's call if it waits to be folded, and tells whether it did.
func (u *unit) forgetCall(ctx context.Context, row db.Hold) (waiting bool, err error) {
	n, err := u.q.DeleteUnfoldedCall(ctx, db.DeleteUnfoldedCallParams{AccountID: row.AccountID, CloseTime: row.SettleTime, HoldID: row.ID})
	return n > 0, err
}
