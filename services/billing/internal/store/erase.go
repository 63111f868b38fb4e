package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// erasePage is how many rows one transaction looks through: calls that are billed meanwhile wait for one page only.
const erasePage = 5000

// eraseTable is a table that names people, walked along its key. There is no index on user_id: erasures are rare, and every call would
// pay for it.
type eraseTable struct{ name, first, second string }

// eraseTables lists holds first: a usage record takes its person from the hold.
var eraseTables = []eraseTable{
	{"hold", "id", "account_id"},
	{"unfolded_call", "account_id", "hold_id"},
	{"usage_record", "account_id", "id"},
}

// hash stands for a person's id where the id itself must not be kept.
func hash(userID string) string {
	sum := sha256.Sum256([]byte(userID))
	return hex.EncodeToString(sum[:])
}

// EraseUser takes a person's id out of holds and usage records, deletes the person's spend limits, and takes what was mirrored of their
// customer at Stripe out of the mirror. What was used and charged stays, with the account that paid. Calls that are under way, and calls
// under a passport that still lives, don't bring the id back. It is idempotent, and a half-done one is finished by the next.
func (s *Store) EraseUser(ctx context.Context, userID string) error {
	if userID == "" {
		return errors.New("erase: no user is named")
	}
	if err := s.markErased(ctx, userID); err != nil {
		return translate(fmt.Errorf("erase: %w", err))
	}
	if err := s.eraseSpending(ctx, userID); err != nil { // first, because windows must count the holds that name the person
		return translate(fmt.Errorf("erase the limits: %w", err))
	}
	for _, table := range eraseTables {
		if err := s.eraseFrom(ctx, table, userID); err != nil {
			return translate(fmt.Errorf("erase from %s: %w", table.name, err))
		}
	}
	if err := s.eraseSpending(ctx, userID); err != nil { // again: holds that were pruned meanwhile have become sums of days
		return translate(fmt.Errorf("erase the limits: %w", err))
	}
	if err := s.eraseFolded(ctx, userID); err != nil {
		return translate(fmt.Errorf("erase from the usage: %w", err))
	}
	if err := s.eraseMirrored(ctx, userID); err != nil {
		return translate(fmt.Errorf("erase from the mirror: %w", err))
	}
	if err := s.eraseNotices(ctx, userID); err != nil {
		return translate(fmt.Errorf("erase notices: %w", err))
	}
	if err := s.db.Checkpoint(ctx); err != nil { // or else SQLite's log keeps the bytes
		return fmt.Errorf("erase: %w", err)
	}
	return nil
}

// markErased makes every later transaction know that the person is erased, and waits for those that may not.
func (s *Store) markErased(ctx context.Context, userID string) error {
	err := s.write(ctx, userID, func(ctx context.Context, q *db.Queries) error {
		if err := q.InsertErasedUser(ctx, db.InsertErasedUserParams{UserHash: hash(userID), EraseTime: time.Now().UnixMicro()}); err != nil {
			return err
		}
		return q.DropCustomerTurn(ctx, userID)
	})
	if err != nil {
		return err
	}
	if err := s.awaitWriters(ctx, "account"); err != nil {
		return err
	}
	if err := s.awaitWriters(ctx, "top_up"); err != nil {
		return err
	}
	return s.write(ctx, userID, func(ctx context.Context, q *db.Queries) error { // no share of the person can be taken any more
		if err := q.DropTopUp(ctx, userID); err != nil {
			return err
		}
		return q.EraseShares(ctx, db.EraseSharesParams{UserHash: hash(userID), UserID: userID})
	})
}

// awaitWriters returns when no transaction is left that locked rows of a table before it was called: such a transaction may have begun
// before the person was marked as erased. EXCLUSIVE conflicts with SELECT … FOR UPDATE too, which begins each batch of the ledger.
func (s *Store) awaitWriters(ctx context.Context, table string) error {
	if s.db.Dialect() == database.SQLite { // there writes take turns
		return nil
	}
	barrier, err := s.db.Read().BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = barrier.Rollback() }() // it has nothing to commit
	for _, statement := range []string{"SET LOCAL lock_timeout = '5s'", "LOCK TABLE " + table + " IN EXCLUSIVE MODE"} {
		if _, err := barrier.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) eraseFrom(ctx context.Context, t eraseTable, userID string) error {
	// Names of tables and columns come from the list above, values as parameters.
	pageEnd := fmt.Sprintf("SELECT %[2]s, %[3]s FROM %[1]s WHERE (%[2]s, %[3]s) > ($1, $2) ORDER BY %[2]s, %[3]s LIMIT 1 OFFSET %[4]d",
		t.name, t.first, t.second, erasePage-1)
	update := fmt.Sprintf("UPDATE %[1]s SET user_id = '' WHERE user_id = $1 AND (%[2]s, %[3]s) > ($2, $3)", t.name, t.first, t.second)
	updatePage := update + fmt.Sprintf(" AND (%s, %s) <= ($4, $5)", t.first, t.second)
	var a, b string
	for {
		var c, d string
		err := s.db.Read().QueryRowContext(ctx, pageEnd, a, b).Scan(&c, &d)
		last := errors.Is(err, sql.ErrNoRows)
		if err != nil && !last {
			return err
		}
		err = s.db.Write(ctx, userID, func(ctx context.Context, tx database.Tx) error {
			if last {
				_, err := tx.ExecContext(ctx, update, userID, a, b)
				return err
			}
			_, err := tx.ExecContext(ctx, updatePage, userID, a, b, c, d)
			return err
		})
		if err != nil || last {
			return err
		}
		a, b = c, d
	}
}

// eraseFolded takes the person out of segments and daily sums. The sums go last: they tell which accounts are left to do.
func (s *Store) eraseFolded(ctx context.Context, userID string) error {
	accounts, err := s.read.ListAccountsOfUser(ctx, userID)
	if err != nil {
		return err
	}
	for _, id := range accounts {
		for after, more := "", true; more; {
			from := after // the function may run more than once
			err := s.Write(ctx, id, func(ctx context.Context, tx ledger.Tx) (err error) {
				after, more, err = tx.(*unit).eraseFromSegments(ctx, id, userID, from) //nolint:forcetypeassert // this store's own
				return err
			})
			if err != nil {
				return err
			}
		}
		err := s.Write(ctx, id, func(ctx context.Context, tx ledger.Tx) error {
			return tx.(*unit).eraseFromDays(ctx, id, userID) //nolint:forcetypeassert // this store's own
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eraseFromSegments rewrites a page of an account's segments. It returns the last one's id, and whether there may be more.
func (u *unit) eraseFromSegments(ctx context.Context, accountID, userID, after string) (last string, more bool, err error) {
	page, err := u.q.ListSegmentsOfAccount(ctx, db.ListSegmentsOfAccountParams{AccountID: accountID, AfterID: after, PageSize: segmentPage})
	if err != nil {
		return after, false, err
	}
	for _, segment := range page {
		last = segment.ID
		records, err := decodeSegment(accountID, segment.ID, segment.Records)
		if err != nil {
			return after, false, err
		}
		named := false
		for i := range records {
			if records[i].UserID == userID {
				records[i].UserID, named = "", true
			}
		}
		if !named {
			continue
		}
		if err := u.q.RewriteSegment(ctx, db.RewriteSegmentParams{
			AccountID: accountID, ID: segment.ID, Calls: segment.Calls, Records: encodeSegment(records),
		}); err != nil {
			return after, false, err
		}
	}
	return last, len(page) == segmentPage, nil
}

// eraseFromDays adds the person's daily sums to those of nobody.
func (u *unit) eraseFromDays(ctx context.Context, accountID, userID string) error {
	rows, err := u.q.ListDaysOfUser(ctx, db.ListDaysOfUserParams{AccountID: accountID, UserID: userID})
	if err != nil {
		return err
	}
	for _, r := range rows {
		err := u.addDay(ctx, dayKey{account: accountID, day: r.Day, model: r.Model, apiKey: r.APIKeyID}, ledger.UsageTotal{
			Requests: r.Requests, Cost: r.Cost,
			Usage: ledger.Usage{Input: r.InputTokens, CachedInput: r.CachedInputTokens, Output: r.OutputTokens, Reasoning: r.ReasoningTokens},
		})
		if err != nil {
			return err
		}
	}
	return u.q.DeleteDaysOfUser(ctx, db.DeleteDaysOfUserParams{AccountID: accountID, UserID: userID})
}

// eraseMirrored takes metadata out of all objects of the customers that the person ever had at Stripe; later fetches don't bring it back.
func (s *Store) eraseMirrored(ctx context.Context, userID string) error {
	customers, err := s.read.ListCustomersOfAccount(ctx, userID)
	for _, customer := range customers {
		if err := s.eraseCustomer(ctx, customer); err != nil {
			return err
		}
	}
	return err
}

func (s *Store) eraseCustomer(ctx context.Context, customer string) error {
	err := s.write(ctx, customer, func(ctx context.Context, q *db.Queries) error { return q.InsertErasedCustomer(ctx, customer) })
	if err == nil {
		err = s.awaitWriters(ctx, "stripe_object")
	}
	for _, kind := range mirror.Kinds() {
		for after := ""; err == nil; {
			var page []mirror.Object
			if page, err = s.CustomerObjects(ctx, customer, kind, after, mirroredPage); err != nil || len(page) == 0 {
				break
			}
			after = page[len(page)-1].ID
			err = s.forgetPage(ctx, page)
		}
	}
	if err != nil {
		return err
	}
	return s.db.Write(ctx, customer, func(ctx context.Context, tx database.Tx) error {
		return inbox.ForgetSubject(ctx, tx, mirror.Stripe, customer)
	})
}

// forgetPage takes out the objects' metadata, and the payloads of the events about them.
func (s *Store) forgetPage(ctx context.Context, page []mirror.Object) error {
	return s.db.Write(ctx, page[0].Customer, func(ctx context.Context, tx database.Tx) error {
		if err := withoutMetadata(ctx, db.New(tx), page); err != nil {
			return err
		}
		for _, o := range page {
			if err := inbox.ForgetSubject(ctx, tx, mirror.Stripe, o.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

const mirroredPage = 100

func withoutMetadata(ctx context.Context, q *db.Queries, objects []mirror.Object) error {
	for _, o := range objects {
		if err := q.ReplaceBody(ctx, db.ReplaceBodyParams{
			Kind: string(o.Kind), ID: o.ID, Sequence: o.Sequence, Body: mirror.WithoutMetadata(o.Body),
		}); err != nil {
			return err
		}
	}
	return nil
}

// forgetMetadata is for an object that was just written: when its customer's person was erased, its metadata is taken out again. It comes
// after the write, so that an erasure that waits for writers finds the object, or this finds the erasure.
func forgetMetadata(ctx context.Context, q *db.Queries, o mirror.Object) error {
	if o.Customer == "" {
		return nil
	}
	erased, err := q.IsErasedCustomer(ctx, o.Customer)
	if err != nil || erased == 0 {
		return err
	}
	return withoutMetadata(ctx, q, []mirror.Object{o})
}
