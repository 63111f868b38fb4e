package concurrency

import (
	"sync"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// uploadRetry is when an upload that was refused may be sent again.
const uploadRetry = time.Second

// Uploads bounds the uploads that are in memory at once, in all and for each account. It is safe for concurrent use.
type Uploads struct {
	total, share int

	mu       sync.Mutex
	taken    int
	accounts map[string]int
}

// NewUploads returns a limiter of so many uploads, of which one account may have a share.
func NewUploads(total, share int) *Uploads {
	return &Uploads{total: total, share: share, accounts: map[string]int{}}
}

// Take counts one more upload of an account until Free. An error says that nothing was counted: RATE_LIMIT_EXCEEDED when the account has its
// share, SERVICE_UNAVAILABLE when all accounts together have too many.
func (u *Uploads) Take(account string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.accounts[account] >= u.share:
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED,
			"Too many requests. Please wait a moment and try again.").With("limit", "open_uploads").After(uploadRetry)
	case u.taken >= u.total:
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
			"Too many files are being uploaded at the moment. Please try again.").After(uploadRetry)
	}
	u.taken++
	u.accounts[account]++
	return nil
}

// Free ends an upload that Take has counted.
func (u *Uploads) Free(account string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.taken--
	decrement(u.accounts, account)
}
